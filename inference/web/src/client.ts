/** Requests to the server, with the caller's key where there is one. */
import type {
  Cell,
  DetectionDetail,
  DetectionPage,
  Job,
  Me,
  Model,
  Review,
  ReviewGiven,
  Scene,
  ScenePage,
  Site,
  SiteHistory,
} from "./contract";
import { forget, key } from "./key";

/** What the server refused, in its own words. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

export type Query = Record<string, string | number>;

export function headers(): Record<string, string> {
  return key.value ? { Authorization: `Bearer ${key.value}` } : {};
}

/** Whatever went wrong, as one line. */
export function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

function refusal(status: number, body: string): Refusal {
  if (status === 401) forget();
  let detail = `the server answered ${status}`;
  try {
    const problem = JSON.parse(body) as { detail?: unknown; title?: unknown };
    if (typeof problem.title === "string") detail = problem.title;
    if (typeof problem.detail === "string") detail = problem.detail;
  } catch {
    // A gateway in between may answer no JSON: then the status is all there is to tell.
  }
  return new Refusal(status, detail);
}

async function send(path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(path, { ...init, headers: { ...headers(), ...init.headers } });
  if (!response.ok) throw refusal(response.status, await response.text());
  return response;
}

async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const asked = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const text = asked.toString();
  const response = await send(text ? `${path}?${text}` : path, signal ? { signal } : {});
  return (await response.json()) as T;
}

const idPath = (detection: string) => `/v1/detections/${encodeURIComponent(detection)}`;

export const fetchMe = () => get<Me>("/v1/me");
export const fetchModels = async () => (await get<{ models: Model[] }>("/v1/models")).models;
export const fetchSites = async () => (await get<{ sites: Site[] }>("/v1/sites")).sites;
export const fetchHistory = (site: string, signal: AbortSignal) =>
  get<SiteHistory>(`/v1/sites/${encodeURIComponent(site)}`, {}, signal);
export const fetchScene = (scene: string) => get<Scene>(`/v1/scenes/${encodeURIComponent(scene)}`);
export const fetchScenes = (query: Query, signal?: AbortSignal) =>
  get<ScenePage>("/v1/scenes", query, signal);
export const fetchDetections = (query: Query, signal?: AbortSignal) =>
  get<DetectionPage>("/v1/detections", query, signal);
export const fetchCells = async (query: Query, signal?: AbortSignal) =>
  (await get<{ cells: Cell[] }>("/v1/detections/summary", query, signal)).cells;
export const fetchDetection = (detection: string) => get<DetectionDetail>(idPath(detection));
export const fetchJobs = async () => (await get<{ jobs: Job[] }>("/v1/jobs", { limit: 50 })).jobs;
export const cancelJob = (job: string) => send(`/v1/jobs/${encodeURIComponent(job)}`, { method: "DELETE" });

/** A picture as an address that an <img> can show; the caller revokes it. */
export async function fetchPicture(path: string, signal?: AbortSignal): Promise<string> {
  const response = await send(path, signal ? { signal } : {});
  return URL.createObjectURL(await response.blob());
}

export const chipPath = (detection: string, px: number) => `${idPath(detection)}/chip.png?px=${px}`;

export async function giveReview(detection: string, given: ReviewGiven): Promise<Review> {
  const response = await send(`${idPath(detection)}/review`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(given),
  });
  return (await response.json()) as Review;
}

export type Format = "geojson" | "gpkg" | "parquet";

/** Save what a job found; a plain link could not carry the key. */
export async function saveDetections(job: Job, format: Format): Promise<void> {
  const address = await fetchPicture(`/v1/jobs/${encodeURIComponent(job.id)}/detections?format=${format}`);
  const link = document.createElement("a");
  link.href = address;
  link.download = `${job.name.replace(/\.[^.]*$/, "")}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export async function hasBasemap(): Promise<boolean> {
  const response = await fetch("/v1/basemap/0/0/0.png", { headers: headers() });
  return response.ok || response.status === 503; // it is being made small
}

/** Send a scene; `progress` hears the share that is sent. XMLHttpRequest, as fetch does not tell of sending. */
export function sendScene(
  file: File,
  facts: Record<string, string>,
  progress: (share: number) => void,
): Promise<void> {
  const form = new FormData();
  for (const [name, value] of Object.entries(facts)) if (value) form.append(name, value);
  form.append("scene", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/scenes");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(event.total, 1));
    request.onerror = () => reject(new Error(`${file.name} could not be sent: the server is not reached`));
    request.onload = () => {
      if (request.status === 202) resolve();
      else reject(refusal(request.status, request.responseText));
    };
    request.send(form);
  });
}
