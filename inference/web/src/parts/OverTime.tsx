/** The chosen site over time: quantities, changes, and what cannot be said. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { site } from "../archive";
import type { SiteHistory } from "../contract";
import { chosenChange, history, loadHistory, outdated, trouble } from "../history";
import { thing } from "../words";
import { Changes } from "./Changes";
import { Charts } from "./Charts";

type Part = "charts" | "changes" | "notes";

const part = signal<Part>("charts");

function Parts({ of }: { of: SiteHistory }) {
  const sure = of.changes.filter((one) => one.sure).length;
  const names: [Part, string][] = [
    ["charts", "How much"],
    ["changes", `Changes (${sure})`],
    ["notes", "Cannot be said"],
  ];
  return (
    <fieldset class="chips parts">
      <legend class="unseen">What is shown of the site</legend>
      {names.map(([name, words]) => (
        <button
          key={name}
          type="button"
          class="chip"
          aria-pressed={part.value === name}
          onClick={() => (part.value = name)}
        >
          {words}
        </button>
      ))}
    </fieldset>
  );
}

function Outdated({ of }: { of: SiteHistory }) {
  if (!outdated.value) return null;
  return (
    <p class="hint outdated">
      Something was reviewed since.
      <button type="button" class="small" onClick={() => void loadHistory(of.id, true)}>
        Work it out anew
      </button>
    </p>
  );
}

function Notes({ of }: { of: SiteHistory }) {
  return (
    <div class="changes">
      <p class="hint">
        “Not seen” is never “not there”. An interval holds the true value in 95 of 100 cases, as far as the
        errors measured of the weights hold for these scenes.
      </p>
      <ul class="notes">
        {of.notes.map((note) => (
          <li key={note}>{note.replace(/^[a-z]+_[a-z]+(?=:)/, thing)}</li>
        ))}
      </ul>
    </div>
  );
}

function Told({ of }: { of: SiteHistory }) {
  return (
    <>
      <Parts of={of} />
      <Outdated of={of} />
      {part.value === "charts" && <Charts of={of} />}
      {part.value === "changes" && <Changes of={of} />}
      {part.value === "notes" && <Notes of={of} />}
      <p class="foot quiet">{`${of.views.length} scenes, by the weights ${of.weights}`}</p>
    </>
  );
}

export function OverTime() {
  const id = site.value?.id ?? null;
  useEffect(() => void loadHistory(id), [id]);
  useEffect(
    () => () => {
      chosenChange.value = null;
    },
    [],
  );
  if (id === null) return <p class="hint">Choose a site first: this is what is known of one over time.</p>;
  if (trouble.value !== null)
    return (
      <p class="hint bad" role="alert">
        {trouble.value}
      </p>
    );
  const known = history.value;
  if (known === null || known.id !== id) {
    return (
      <p class="hint" role="status" aria-busy="true">
        The history is being worked out; of many scenes that takes some minutes.
      </p>
    );
  }
  return <Told of={known} />;
}
