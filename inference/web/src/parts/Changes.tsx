/** What changed between two dates: first what exceeds its error. */
import type { Change, SiteHistory } from "../contract";
import { chosenChange, goToDate } from "../history";
import { goTo } from "../map/map";
import { look, view } from "../view";
import { amount, changeWord, figure, thing } from "../words";

/** By how much, with the interval where there is one. */
function byHowMuch({ by, low, high, unit, kind }: Change): string {
  if (by === 0 && low === 0 && high === 0) return "";
  const exact = low === high;
  const sign = kind === "more" || kind === "less" ? (by > 0 ? "+" : "") : "";
  const size = sign || kind === "less" ? by : Math.abs(by);
  const [least, most] =
    sign || kind === "less" ? [low, high] : [Math.abs(low), Math.abs(high)].sort((a, b) => a - b);
  const within = exact ? "" : ` (${figure(least ?? 0, unit)} – ${figure(most ?? 0, unit)})`;
  return `${sign}${amount(size, unit)}${within}`;
}

function choose(change: Change): void {
  if (chosenChange.peek() === change) {
    chosenChange.value = null;
    return;
  }
  chosenChange.value = change;
  look({ date: change.after_date, scene: null, selected: null });
  if (change.geometry) goTo(change.geometry);
}

function Sides({ of }: { of: Change }) {
  const side = (word: string, date: string) => (
    <button type="button" class="chip" aria-pressed={view.value.date === date} onClick={() => goToDate(date)}>
      {`${word} ${date}`}
    </button>
  );
  return (
    <div class="chips sides">
      {side("before", of.before_date)}
      {side("after", of.after_date)}
    </div>
  );
}

function Item({ of }: { of: Change }) {
  const chosen = chosenChange.value === of;
  return (
    <li>
      <button type="button" class="item change" aria-pressed={chosen} onClick={() => choose(of)}>
        <strong>{`${thing(of.what)}: ${changeWord(of.kind)}`}</strong>
        <span class="figure">{byHowMuch(of)}</span>
        <span class="quiet facts">
          {`between ${of.before_date} and ${of.after_date}${of.checked ? " · confirmed" : ""}`}
        </span>
      </button>
      {chosen && <Sides of={of} />}
    </li>
  );
}

function List({ name, why, of }: { name: string; why: string; of: readonly Change[] }) {
  return (
    <section aria-label={name}>
      <h3 class="part">{`${name}: ${of.length}`}</h3>
      <p class="hint">{why}</p>
      <ul>
        {of.map((one) => (
          <Item key={[one.what, one.kind, one.before_date, one.after_date, one.by].join()} of={one} />
        ))}
      </ul>
    </section>
  );
}

export function Changes({ of }: { of: SiteHistory }) {
  const newest = of.changes.toReversed();
  return (
    <div class="changes">
      <List
        name="Beyond their error"
        why={
          newest.some((one) => one.sure)
            ? "The newest first. Choosing one goes to its place and date."
            : "Nothing changed beyond its error. That does not say that nothing changed."
        }
        of={newest.filter((one) => one.sure)}
      />
      <List
        name="Differences that prove nothing"
        why="Seen on one date and not on the other, without proof: the weights may have missed it, or be wrong. Places to look at."
        of={newest.filter((one) => !one.sure)}
      />
    </div>
  );
}
