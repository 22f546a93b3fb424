/** The chosen site over time: asked for when it is looked at, as the server may have to work it out first. */
import { signal } from "@preact/signals";
import { fetchHistory, isAbort, Refusal, told } from "./client";
import type { Change, SiteHistory } from "./contract";
import { look } from "./view";

const AGAIN_MS = 3000;

export const history = signal<SiteHistory | null>(null);
/** Why there is none. */
export const trouble = signal<string | null>(null);
/** Whether somebody has decided something since it was worked out. */
export const outdated = signal(false);
export const chosenChange = signal<Change | null>(null);

export function outdate(): void {
  if (history.peek()) outdated.value = true;
}

let asked: AbortController | undefined;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The server works it out in its own time: it is asked until it has it. */
async function worked(site: string, stop: AbortSignal): Promise<SiteHistory> {
  for (;;) {
    try {
      return await fetchHistory(site, stop);
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 503)) throw error;
    }
    await pause(AGAIN_MS);
  }
}

/** Ask for the history of a site; with none there is none. */
export async function loadHistory(site: string | null, anew = false): Promise<void> {
  if (!anew && site !== null && history.peek()?.id === site) return;
  asked?.abort();
  asked = new AbortController();
  history.value = null;
  trouble.value = null;
  chosenChange.value = null;
  if (site === null) return;
  try {
    outdated.value = false;
    history.value = await worked(site, asked.signal);
  } catch (error) {
    if (!isAbort(error)) trouble.value = told(error);
  }
}

/** What was there on a date. */
export const goToDate = (date: string) => look({ date, scene: null });
