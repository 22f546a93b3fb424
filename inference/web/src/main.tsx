/** The map page of pithead. */
import "maplibre-gl/dist/maplibre-gl.css";
import "./style/page.css";
import "./style/beside.css";
import "./style/panel.css";
import "./style/map.css";
import "./style/time.css";
import { effect, untracked } from "@preact/signals";
import { render } from "preact";
import { loadArchive, loadScenes, sites } from "./archive";
import { hasBasemap, isAbort, told } from "./client";
import { keyWanted } from "./key";
import { leaveDecision, listenToKeys } from "./keyboard";
import { goTo } from "./map/map";
import { KeyDialog } from "./parts/Dialogs";
import { basemap, Page } from "./parts/Page";
import { detail, loadDetail, loadQueue } from "./queue";
import { say } from "./say";
import { watchJobs } from "./uploads";
import { filtersKey, hashOf, look, view, viewOf } from "./view";

const SETTLE_MS = 120;

/** The address line follows the view, and the view an address that is put in by hand. */
function followAddress(): void {
  effect(() => {
    const hash = hashOf(view.value);
    if (hash !== location.hash) history.replaceState(null, "", hash);
  });
  addEventListener("hashchange", () => look(viewOf(location.hash)));
}

function followScenes(): void {
  const key = () => [view.value.site, view.value.scene].join();
  let before = key();
  effect(() => {
    const now = key();
    if (now === before) return;
    before = now;
    untracked(() => void loadScenes().catch((error: unknown) => isAbort(error) || say(told(error), true)));
  });
}

function followQueue(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let before = "";
  effect(() => {
    const now = [filtersKey.value, view.value.order, view.value.area].join();
    if (now === before) return;
    before = now;
    clearTimeout(timer);
    timer = setTimeout(() => void loadQueue(), SETTLE_MS);
  });
}

function followChosen(): void {
  let before: string | null = null;
  effect(() => {
    const { selected } = view.value;
    if (selected === before) return;
    before = selected;
    untracked(() => {
      leaveDecision(); // what was begun was begun for another
      void loadDetail();
    });
  });
  // A link says where to look: what is chosen there must not move the map.
  let shown = view.peek().at ? view.peek().selected : null;
  effect(() => {
    const { id, geometry } = detail.value ?? { id: null, geometry: null };
    if (geometry && id !== shown) goTo(geometry);
    if (id !== null) shown = id;
  });
}

/** A first visit begins with the site, if there is but one. */
function firstSite(): void {
  const [only, ...others] = sites.peek();
  if (location.hash.length > 1 || !only || others.length > 0) return;
  look({ site: only.id, date: only.dates.at(-1) ?? null });
}

async function start(page: HTMLElement): Promise<void> {
  try {
    await loadArchive();
    firstSite();
    basemap.value = await hasBasemap();
    await loadScenes();
  } catch (error) {
    render(keyWanted.value ? <KeyDialog /> : <p class="broken">{told(error)}</p>, page);
    return;
  }
  followAddress();
  render(<Page />, page);
  followScenes();
  followQueue();
  followChosen();
  listenToKeys();
  await watchJobs();
}

const page = document.getElementById("page");
if (page) void start(page);
