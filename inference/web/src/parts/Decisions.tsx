/** Accept, reject, relabel, redraw. */
import { classes } from "../archive";
import type { DetectionDetail } from "../contract";
import { accept, note, reject, relabel } from "../decide";
import { beginRedraw, beginRelabel, relabelling, saveRedraw } from "../keyboard";
import { editing, end } from "../redraw/editor";
import { title } from "../words";
import { Swatch } from "./Swatch";

function Redrawing() {
  return (
    <div class="decide">
      <p class="hint">Pull the grips on the map. Tab and arrow keys do the same; Delete takes a point out.</p>
      <button type="button" class="main" onClick={saveRedraw}>
        Save <kbd>Enter</kbd>
      </button>
      <button type="button" onClick={() => end()}>
        Give up <kbd>Esc</kbd>
      </button>
    </div>
  );
}

function Relabelling({ of }: { of: DetectionDetail }) {
  return (
    <div class="decide classes">
      {classes.value.map(({ name }, index) => (
        <button
          key={name}
          type="button"
          disabled={name === of.properties.class}
          onClick={() => {
            relabelling.value = false;
            void relabel(name);
          }}
        >
          <Swatch name={name} />
          {title(name)} <kbd>{index + 1}</kbd>
        </button>
      ))}
      <button type="button" onClick={() => (relabelling.value = false)}>
        Give up <kbd>Esc</kbd>
      </button>
    </div>
  );
}

export function Decisions({ of }: { of: DetectionDetail }) {
  if (editing.value) return <Redrawing />;
  if (relabelling.value) return <Relabelling of={of} />;
  return (
    <div class="decide">
      <button type="button" class="yes" onClick={() => void accept()}>
        Accept <kbd>A</kbd>
      </button>
      <button type="button" class="no" onClick={() => void reject()}>
        Reject <kbd>R</kbd>
      </button>
      <button type="button" onClick={beginRelabel}>
        Relabel <kbd>L</kbd>
      </button>
      <button type="button" onClick={beginRedraw}>
        Redraw <kbd>E</kbd>
      </button>
      <label class="note">
        <span class="unseen">Note for the next decision</span>
        <input
          id="note"
          placeholder="Note (N)"
          maxLength={2000}
          value={note.value.of === of.id ? note.value.text : ""}
          onInput={(event) => {
            note.value = { of: of.id, text: event.currentTarget.value };
          }}
        />
      </label>
    </div>
  );
}
