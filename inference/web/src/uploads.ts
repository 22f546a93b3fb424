/** Files on their way to the server, and what it makes of them. */
import { signal } from "@preact/signals";
import { loadArchive, loadScenes } from "./archive";
import { fetchJobs, sendScene, told } from "./client";
import type { Job } from "./contract";
import { refreshAnew } from "./map/finds";
import { loadQueue } from "./queue";
import { say } from "./say";
import { isOpen, many } from "./words";

const BUSY_MS = 1000;
const IDLE_MS = 20_000;

export interface Upload {
  file: File;
  /** The share that is sent, 0 to 1. */
  sent: number;
  error: string | null;
}

export const chosen = signal<File[]>([]);
export const uploads = signal<Upload[]>([]);
export const jobs = signal<Job[]>([]);

let timer: ReturnType<typeof setTimeout> | undefined;

function change(file: File, now: Partial<Upload> | null): void {
  uploads.value = uploads
    .peek()
    .flatMap((upload) => (upload.file !== file ? [upload] : now ? [{ ...upload, ...now }] : []));
}

/** Send the chosen files, one after the other. */
export async function sendChosen(facts: Record<string, string>): Promise<void> {
  const files = chosen.peek();
  chosen.value = [];
  uploads.value = [...uploads.peek(), ...files.map((file) => ({ file, sent: 0, error: null }))];
  for (const file of files) {
    try {
      await sendScene(file, facts, (sent) => change(file, { sent }));
      change(file, null);
      say(`${file.name} is sent and waits to be scored.`);
      await watchJobs();
    } catch (error) {
      change(file, { error: told(error) });
      say(`${file.name}: ${told(error)}`, true);
    }
  }
}

export function dismiss(upload: Upload): void {
  change(upload.file, null);
}

function finished(before: readonly Job[], now: readonly Job[]): Job[] {
  const open = new Set(before.filter(isOpen).map((job) => job.id));
  return now.filter((job) => open.has(job.id) && !isOpen(job));
}

async function tellOf(done: readonly Job[]): Promise<void> {
  for (const job of done) {
    if (job.state === "done") say(`${job.name} is scored: ${many(job.detections ?? 0, "detection")}.`);
    else if (job.state === "failed") say(`${job.name} failed: ${job.error ?? "no reason was told"}`, true);
  }
  if (done.some((job) => job.state === "done")) {
    await Promise.all([loadArchive(), loadScenes(), loadQueue(), refreshAnew()]);
  }
}

/** Look at the jobs now, and again as long as one is open. */
export async function watchJobs(): Promise<void> {
  clearTimeout(timer);
  const before = jobs.peek();
  try {
    jobs.value = await fetchJobs();
    await tellOf(finished(before, jobs.peek()));
  } catch {
    // The next look may find the server again; what one asks for oneself tells of errors.
  }
  clearTimeout(timer);
  timer = setTimeout(() => void watchJobs(), jobs.peek().some(isOpen) ? BUSY_MS : IDLE_MS);
}
