/** One job: how far it is, and what can be done with it. */
import { me, scenes } from "../archive";
import { cancelJob, type Format, fetchScene, saveDetections, told } from "../client";
import type { Job } from "../contract";
import { say } from "../say";
import { watchJobs } from "../uploads";
import { isOpen, moment, progress } from "../words";
import { show } from "./Scenes";

const FORMATS: readonly [Format, string][] = [
  ["geojson", "GeoJSON"],
  ["gpkg", "GeoPackage"],
  ["parquet", "GeoParquet"],
];

async function attempt(act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    say(told(error), true);
  }
}

async function look(id: string): Promise<void> {
  const scene = scenes.peek().find((known) => known.id === id) ?? (await fetchScene(id));
  if (!scenes.peek().includes(scene)) scenes.value = [...scenes.peek(), scene];
  show(scene);
}

async function cancel(job: Job): Promise<void> {
  await cancelJob(job.id);
  await watchJobs();
}

function Done({ job, scene }: { job: Job; scene: string }) {
  return (
    <span class="links">
      <button type="button" class="main small" onClick={() => void attempt(() => look(scene))}>
        Show
      </button>
      {FORMATS.map(([format, name]) => (
        <button
          key={format}
          type="button"
          class="plain"
          onClick={() => void attempt(() => saveDetections(job, format))}
        >
          {name}
        </button>
      ))}
    </span>
  );
}

export function JobItem({ job }: { job: Job }) {
  const mine = me.value?.role === "admin" || me.value?.name === job.owner;
  return (
    <li class="job">
      <strong>{job.name}</strong>
      <span class={job.state === "failed" ? "bad" : "quiet"}>{progress(job)}</span>
      {job.state === "running" && <progress value={job.progress} aria-label={`Scoring ${job.name}`} />}
      {job.state === "done" && job.scene && <Done job={job} scene={job.scene} />}
      {isOpen(job) && mine && (
        <button type="button" class="plain" onClick={() => void attempt(() => cancel(job))}>
          Cancel
        </button>
      )}
      <span class="quiet when">{moment(job.created)}</span>
    </li>
  );
}
