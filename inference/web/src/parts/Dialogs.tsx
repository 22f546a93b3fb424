/** What comes in front of the page: asking for a key, and help with settings. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { me } from "../archive";
import { keyWanted, remember } from "../key";
import { helpOpen, keysOn, switchKeys } from "../keyboard";
import { reviewer, sign } from "../reviewer";

function Dialog({ name, close, children }: { name: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-label={name} onClose={close}>
      {children}
    </dialog>
  );
}

function takeKey(event: SubmitEvent): void {
  event.preventDefault();
  if (!(event.currentTarget instanceof HTMLFormElement)) return;
  const value = new FormData(event.currentTarget).get("key");
  if (typeof value === "string" && value.trim()) {
    remember(value.trim());
    location.reload();
  }
}

export function KeyDialog() {
  if (!keyWanted.value) return null;
  return (
    <Dialog name="Key" close={() => location.reload()}>
      <form onSubmit={takeKey}>
        <h2>This server asks for a key</h2>
        <p class="quiet">Whoever runs the server gives you one. It is kept until you close this tab.</p>
        <label>
          Key
          <input name="key" type="password" autocomplete="off" spellcheck={false} required />
        </label>
        <div class="buttons">
          <button type="submit" class="main">
            Enter
          </button>
        </div>
      </form>
    </Dialog>
  );
}

const HELP: readonly [string, string][] = [
  ["J  K", "next and previous detection of the list"],
  ["A  R", "accept, reject; then the next one that nobody has reviewed"],
  ["L", "relabel: then the number of the class"],
  ["E", "redraw: pull the grips, Enter saves, Escape gives up"],
  ["N", "write a note that goes with the decision"],
  ["F", "bring the chosen one into the middle"],
  ["H", "hide the outlines and show them again"],
  ["[  ]", "earlier and later date of the site"],
  ["Esc", "close what is open"],
];

function Keys() {
  return (
    <dl class="keys">
      {HELP.map(([keys, does]) => (
        <>
          <dt key={keys}>
            {keys.split("  ").map((one) => (
              <kbd key={one}>{one}</kbd>
            ))}
          </dt>
          <dd>{does}</dd>
        </>
      ))}
    </dl>
  );
}

export function HelpDialog() {
  if (!helpOpen.value) return null;
  return (
    <Dialog name="Keys and settings" close={() => (helpOpen.value = false)}>
      <form method="dialog">
        <h2>Keys and settings</h2>
        <Keys />
        <label class="tick">
          <input
            type="checkbox"
            checked={keysOn.value}
            onChange={(event) => switchKeys(event.currentTarget.checked)}
          />
          Single keys do what stands above
        </label>
        {me.value?.open && (
          <label>
            Name in reviews
            <input
              value={reviewer.value}
              placeholder="local"
              onChange={(event) => sign(event.currentTarget.value)}
            />
          </label>
        )}
        <p class="quiet">
          The name stays in the log for good and goes out with exports; a pen name does as well.
        </p>
        <p>
          <a href="LICENCES.txt">Licences of what this page is made of</a>
        </p>
        <div class="buttons">
          <button type="submit" class="main">
            Close
          </button>
        </div>
      </form>
    </Dialog>
  );
}
