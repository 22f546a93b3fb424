/** Single keys for whoever decides all day. They can be switched off, and stay out of fields. */
import { signal } from "@preact/signals";
import { classes, site } from "./archive";
import { accept, redraw, reject, relabel } from "./decide";
import { comeClose, goTo, showFinds, theMap } from "./map/map";
import { detail, select, step } from "./queue";
import { begin, editing, end } from "./redraw/editor";
import { say } from "./say";
import { look, view } from "./view";

const NAME = "pithead-keys";

export const keysOn = signal(localStorage.getItem(NAME) !== "off");
export const helpOpen = signal(false);
/** Whether the next digit names a class. */
export const relabelling = signal(false);

export function switchKeys(on: boolean): void {
  localStorage.setItem(NAME, on ? "on" : "off");
  keysOn.value = on;
}

export function beginRedraw(): void {
  const map = theMap();
  const { geometry } = detail.peek() ?? {};
  if (map && geometry) {
    comeClose(geometry);
    begin(map, geometry);
  } else say("Choose a detection first: J goes to the next one.");
}

export function saveRedraw(): void {
  const shape = end();
  if (shape) void redraw(shape);
}

export function beginRelabel(): void {
  relabelling.value = detail.peek() !== null;
}

let hidden = false;

/** Outlines hide what they are around. */
function hide(): void {
  hidden = !hidden;
  showFinds(!hidden);
  say(hidden ? "Outlines are hidden; H shows them." : "Outlines are shown.");
}

/** Give up what is begun and not yet said. */
export function leaveDecision(): void {
  relabelling.value = false;
  if (editing.peek()) end();
}

/** Go to the next date of the site, or the one before. */
export function stepDate(steps: number): void {
  const dates = site.peek()?.dates ?? [];
  const here = dates.indexOf(view.peek().date ?? "");
  const date = here < 0 ? dates.at(steps > 0 ? 0 : -1) : dates[here + steps];
  if (date) look({ date, scene: null });
}

function focusNote(): void {
  document.getElementById("note")?.focus();
}

function zoomTo(): void {
  const { geometry } = detail.peek() ?? {};
  if (geometry) goTo(geometry);
}

const KEYS: Record<string, () => void> = {
  j: () => void step(1),
  k: () => void step(-1),
  a: () => void accept(),
  r: () => void reject(),
  l: beginRelabel,
  e: beginRedraw,
  n: focusNote,
  f: zoomTo,
  h: hide,
  "[": () => stepDate(-1),
  "]": () => stepDate(1),
  "?": () => {
    helpOpen.value = true;
  },
};

function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      (target.matches("input, textarea, select") && !target.matches("[type=checkbox], [type=range]")))
  );
}

function whileEditing(event: KeyboardEvent): boolean {
  if (event.key === "Enter") saveRedraw();
  else if (event.key === "Escape") end();
  else return false;
  return true;
}

function whileRelabelling(event: KeyboardEvent): boolean {
  const named = classes.peek()[Number(event.key) - 1];
  if (named) void relabel(named.name);
  else if (event.key !== "Escape") return false;
  relabelling.value = false;
  return true;
}

function leave(event: KeyboardEvent): boolean {
  if (event.key !== "Escape") return false;
  select(null);
  return true;
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (isField(event.target)) {
    if (event.key === "Escape" && event.target instanceof HTMLElement) event.target.blur();
    return;
  }
  const handled =
    (editing.peek() && whileEditing(event)) ||
    (relabelling.peek() && whileRelabelling(event)) ||
    leave(event);
  const act = keysOn.peek() && !editing.peek() ? KEYS[event.key.toLowerCase()] : undefined;
  if (!handled && act) act();
  if (handled || act) event.preventDefault();
}

export function listenToKeys(): void {
  document.addEventListener("keydown", onKey);
}
