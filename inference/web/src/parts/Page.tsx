/** The whole page. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { inSight } from "../map/finds";
import { openMap } from "../map/map";
import { waiting } from "../map/pictures";
import { said } from "../say";
import { chosen, jobs, uploads } from "../uploads";
import { isOpen, many } from "../words";
import { Add, take } from "./Add";
import { HelpDialog, KeyDialog } from "./Dialogs";
import { OverTime } from "./OverTime";
import { Panel } from "./Panel";
import { Queue } from "./Queue";
import { Scenes } from "./Scenes";
import { Timeline } from "./Timeline";
import { Top } from "./Top";

type TabName = "queue" | "time" | "scenes" | "add";

const TABS: readonly [TabName, string][] = [
  ["queue", "Detections"],
  ["time", "Over time"],
  ["scenes", "Scenes"],
  ["add", "Add"],
];
const tab = signal<TabName>("queue");
const dragged = signal(false);
export const basemap = signal(false);

function onArrows(event: KeyboardEvent): void {
  const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (steps === undefined) return;
  const names = TABS.map(([name]) => name);
  tab.value = names[(names.indexOf(tab.peek()) + steps + names.length) % names.length] ?? "queue";
  document.getElementById(`tab-${tab.peek()}`)?.focus();
}

function Tabs() {
  const open = uploads.value.length + jobs.value.filter(isOpen).length;
  return (
    <div class="tabs" role="tablist" aria-label="Beside the map" onKeyDown={onArrows}>
      {TABS.map(([name, words]) => (
        <button
          key={name}
          id={`tab-${name}`}
          type="button"
          role="tab"
          aria-selected={tab.value === name}
          aria-controls="beside"
          tabIndex={tab.value === name ? 0 : -1}
          onClick={() => (tab.value = name)}
        >
          {words}
          {name === "add" && open > 0 && <span class="badge">{open}</span>}
        </button>
      ))}
    </div>
  );
}

function Beside() {
  return (
    <nav class="beside" aria-label="Detections, the site over time, scenes and jobs">
      <Tabs />
      <div id="beside" class="tab" role="tabpanel" aria-labelledby={`tab-${tab.value}`}>
        {tab.value === "queue" && <Queue />}
        {tab.value === "time" && <OverTime />}
        {tab.value === "scenes" && <Scenes />}
        {tab.value === "add" && <Add />}
      </div>
    </nav>
  );
}

function TheMap() {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (element.current) openMap(element.current, basemap.peek());
  }, []);
  return (
    <main class="middle">
      <div ref={element} class="map" />
      <span class="sight">{`${many(inSight.value, "detection")} in sight`}</span>
      <span class="making" aria-live="polite">
        {waiting.value > 0 ? "The picture is being made; of a large scene that takes some minutes." : ""}
      </span>
      <Timeline />
    </main>
  );
}

function isFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

function onDrop(event: DragEvent): void {
  if (!isFiles(event)) return;
  event.preventDefault();
  dragged.value = false;
  take(event.dataTransfer?.files ?? null);
  if (chosen.peek().length) tab.value = "add";
}

function onDrag(event: DragEvent): void {
  if (!isFiles(event)) return;
  event.preventDefault();
  dragged.value = true;
}

function Said() {
  const { text, bad } = said.value;
  return (
    <div class={bad ? "said bad" : "said"} role="status" aria-live={bad ? "assertive" : "polite"}>
      {text}
    </div>
  );
}

export function Page() {
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: files may be dropped anywhere; the file field does the same
    <div
      class="page"
      onDragOver={onDrag}
      onDragLeave={(event) => {
        if (event.relatedTarget === null) dragged.value = false;
      }}
      onDrop={onDrop}
    >
      <button type="button" class="skip" onClick={() => document.getElementById("queue")?.focus()}>
        To the list of detections
      </button>
      <Top />
      <Beside />
      <TheMap />
      <Panel />
      <Said />
      {dragged.value && <div class="dragged">Let go to add these images</div>}
      <KeyDialog />
      <HelpDialog />
    </div>
  );
}
