/** The dates of the site; the map shows what was there on the one that is chosen. */
import { site } from "../archive";
import { stepDate } from "../keyboard";
import { look, view } from "../view";

function Stop({ at, date }: { at: number; date: string }) {
  return <i class={view.value.date === date ? "stop now" : "stop"} style={{ "--at": at }} />;
}

function Slider({ dates }: { dates: readonly string[] }) {
  const index = dates.indexOf(view.value.date ?? "");
  const last = Math.max(dates.length - 1, 1);
  return (
    <span class="slider">
      <input
        type="range"
        min="0"
        max={dates.length - 1}
        step="1"
        value={index < 0 ? dates.length - 1 : index}
        class={index < 0 ? "unset" : ""}
        aria-label="Date"
        aria-valuetext={view.value.date ?? "all dates"}
        onInput={(event) => look({ date: dates[event.currentTarget.valueAsNumber] ?? null, scene: null })}
      />
      {dates.map((date, number) => (
        <Stop key={date} at={number / last} date={date} />
      ))}
    </span>
  );
}

export function Timeline() {
  const dates = site.value?.dates ?? [];
  if (dates.length === 0 || view.value.scene) return null;
  const { date } = view.value;
  return (
    <section class="timeline" aria-label="Dates">
      <button type="button" class="plain" aria-label="Earlier ([)" onClick={() => stepDate(-1)}>
        ‹
      </button>
      <output class="date">{date ?? "all dates"}</output>
      <button type="button" class="plain" aria-label="Later (])" onClick={() => stepDate(1)}>
        ›
      </button>
      {dates.length > 1 && (
        <>
          <span class="quiet ends">{dates[0]?.slice(0, 7)}</span>
          <Slider dates={dates} />
          <span class="quiet ends">{dates.at(-1)?.slice(0, 7)}</span>
        </>
      )}
      <span class="gap" />
      <button type="button" class="chip" aria-pressed={date === null} onClick={() => look({ date: null })}>
        All dates
      </button>
    </section>
  );
}
