/** What the list and the map are held to. */
import { classes, scene } from "../archive";
import type { Order } from "../contract";
import { areaInSight } from "../map/map";
import { EVERYTHING, look, view } from "../view";
import { STATES, title } from "../words";
import { Swatch } from "./Swatch";

const toggled = (list: readonly string[], name: string) =>
  list.includes(name) ? list.filter((one) => one !== name) : [...list, name];

function Classes() {
  return (
    <fieldset class="chips">
      <legend class="unseen">Class</legend>
      {classes.value.map(({ name }) => (
        <button
          key={name}
          type="button"
          class="chip"
          aria-pressed={view.value.classes.includes(name)}
          onClick={() => look({ classes: toggled(view.peek().classes, name) })}
        >
          <Swatch name={name} />
          {title(name)}
        </button>
      ))}
    </fieldset>
  );
}

function States() {
  return (
    <fieldset class="chips">
      <legend class="unseen">Review</legend>
      {Object.entries(STATES).map(([state, word]) => (
        <button
          key={state}
          type="button"
          class="chip"
          aria-pressed={view.value.review.includes(state)}
          onClick={() => look({ review: toggled(view.peek().review, state) })}
        >
          {word}
        </button>
      ))}
    </fieldset>
  );
}

function Score() {
  const { min, max } = view.value;
  const range = { type: "range", min: "0", max: "1", step: "0.01" } as const;
  return (
    <fieldset class="score">
      <legend class="unseen">Score</legend>
      <span class="quiet">Score</span>
      <span class="twin" style={{ "--from": min, "--to": max }}>
        <input
          {...range}
          aria-label="Lowest score"
          value={min}
          onInput={(event) => look({ min: Math.min(event.currentTarget.valueAsNumber, max) })}
        />
        <input
          {...range}
          aria-label="Highest score"
          value={max}
          onInput={(event) => look({ max: Math.max(event.currentTarget.valueAsNumber, min) })}
        />
      </span>
      <output>{`${min.toFixed(2)} – ${max.toFixed(2)}`}</output>
    </fieldset>
  );
}

function Removable({ text, off }: { text: string; off: () => void }) {
  return (
    <button type="button" class="chip held" onClick={off}>
      {text}
      <span aria-hidden="true"> ×</span>
      <span class="unseen">, take this filter off</span>
    </button>
  );
}

function Ordering() {
  const { area, order, scene: single } = view.value;
  return (
    <div class="chips">
      <select
        aria-label="Order of the list"
        value={order}
        onChange={(event) => look({ order: event.currentTarget.value as Order })}
      >
        <option value="uncertainty">least certain first</option>
        <option value="score">highest score first</option>
        <option value="id">as found</option>
      </select>
      {single && (
        <Removable text={`Scene ${scene.value?.id.slice(0, 12) ?? ""}`} off={() => look({ scene: null })} />
      )}
      {area ? (
        <Removable text="This area" off={() => look({ area: null })} />
      ) : (
        <button type="button" class="chip" onClick={() => look({ area: areaInSight() })}>
          Only what is in sight
        </button>
      )}
    </div>
  );
}

function isHeld(): boolean {
  const { classes: names, review, min, max, area } = view.value;
  return names.length > 0 || review.length > 0 || min > 0 || max < 1 || area !== null;
}

export function Filters() {
  const { classes: names, review, min, max, area } = EVERYTHING;
  return (
    <section class="filters" aria-label="Filters">
      <Classes />
      <States />
      <Score />
      <Ordering />
      {isHeld() && (
        <button
          type="button"
          class="plain clear"
          onClick={() => look({ classes: names, review, min, max, area })}
        >
          Clear filters
        </button>
      )}
    </section>
  );
}
