/** The list of detections that pass the filters, in the order to be reviewed. */
import { computed, signal } from "@preact/signals";
import { fetchDetection, fetchDetections, isAbort, type Query, told } from "./client";
import type { Detection, DetectionDetail } from "./contract";
import { say } from "./say";
import { filters, look, selected, view } from "./view";

const PAGE = 100;

export const items = signal<Detection[]>([]);
/** How many pass the filters; null while nobody knows. */
export const matched = signal<number | null>(null);
export const busy = signal(true);
export const detail = signal<DetectionDetail | null>(null);

const next = signal<string | null>(null);

export const hasMore = computed(() => next.value !== null);
export const position = computed(() => items.value.findIndex((item) => item.id === selected.value));

let asked: AbortController | undefined;

function query(): Query {
  const { order, area } = view.peek();
  const asks: Query = { ...filters.peek(), order, limit: PAGE };
  if (area) asks.bbox = area.join(",");
  return asks;
}

/** Ask for the first page anew. */
export async function loadQueue(): Promise<void> {
  asked?.abort();
  asked = new AbortController();
  busy.value = true;
  try {
    const page = await fetchDetections(query(), asked.signal);
    items.value = page.features;
    matched.value = page.matched;
    next.value = page.next;
    busy.value = false;
  } catch (error) {
    if (isAbort(error)) return;
    busy.value = false;
    say(told(error), true);
  }
}

/** Ask for the page after those that are there. */
export async function loadMore(): Promise<void> {
  if (next.peek() === null || busy.peek()) return;
  busy.value = true;
  try {
    const page = await fetchDetections({ ...query(), cursor: next.peek() ?? "" }, asked?.signal);
    items.value = [...items.peek(), ...page.features];
    next.value = page.next;
    busy.value = false;
  } catch (error) {
    if (isAbort(error)) return;
    busy.value = false;
    say(told(error), true);
  }
}

export async function loadDetail(): Promise<void> {
  const wanted = selected.peek();
  if (wanted === null) {
    detail.value = null;
    return;
  }
  try {
    const found = await fetchDetection(wanted);
    if (selected.peek() === wanted) detail.value = found;
  } catch (error) {
    say(told(error), true);
  }
}

export const select = (detection: string | null) => look({ selected: detection });

/** Go `steps` down the list, or up; at the end more is fetched. */
export async function step(steps: number): Promise<void> {
  const here = position.peek();
  const to = here < 0 ? 0 : here + steps;
  if (to >= items.peek().length) await loadMore();
  const item = items.peek()[to];
  if (item) select(item.id);
  else say(steps > 0 ? "End of the list." : "Start of the list.");
}

/** Put a detection as it is now in the place of what the list has of it. */
export function replace(changed: Detection): void {
  items.value = items.peek().map((item) => (item.id === changed.id ? changed : item));
}
