/** Figures and names as a person reads them. */
import type { Detection, Job, Review } from "./contract";

const NARROW = "\u202f";

export const title = (name: string) => name.replaceAll("_", " ");

export const count = (value: number) => value.toLocaleString("en").replaceAll(",", NARROW);

export const many = (value: number, one: string) => `${count(value)} ${value === 1 ? one : `${one}s`}`;

export const metres = (value: number) => (value < 10 ? value.toFixed(1) : count(Math.round(value)));

export function area(value: number): string {
  return value >= 100_000 ? `${(value / 10_000).toFixed(1)} ha` : `${count(Math.round(value))} m²`;
}

/** How large it is: sides of a box, length of a line. */
export function size(detection: Detection): string {
  const { length_m, width_m } = detection.properties;
  if (length_m === null) return "no size";
  return width_m === null ? `${metres(length_m)} m` : `${metres(length_m)} × ${metres(width_m)} m`;
}

export const STATES: Record<string, string> = {
  unreviewed: "unreviewed",
  accept: "accepted",
  reject: "rejected",
  relabel: "relabelled",
  redraw: "redrawn",
};

export const stateOf = (review: Review | null) => review?.decision ?? "unreviewed";

export const stateWord = (review: Review | null) => STATES[stateOf(review)] ?? "unreviewed";

/** A time in UTC without the fractions of its seconds; whatever is none stays as it is. */
export const moment = (time: string) =>
  time.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)$/, "$1 $2 UTC");

export function eta(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s left`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

export const isOpen = (job: Job) => job.state === "queued" || job.state === "running";

export function progress(job: Job): string {
  if (isOpen(job) && job.note) return job.note;
  if (job.state === "queued") return "waits";
  if (job.state === "running") {
    const tiles = job.tiles === 0 ? "reading" : `${count(job.tiles_done)} of ${count(job.tiles)} tiles`;
    return job.eta_s === null ? tiles : `${tiles}, ${eta(job.eta_s)}`;
  }
  if (job.state === "done") return many(job.detections ?? 0, "detection");
  return job.error ?? job.state;
}

const QUANTITIES: Record<string, string> = {
  heap_area_m2: "ground under coal heaps",
  heap_volume_m3: "volume of coal heaps (proxy)",
  heaps: "coal heaps",
  perimeter_km: "length of guard perimeter",
  enclosed_km2: "area inside perimeters",
  rail_occupied_m: "siding occupied by wagons",
  wagons: "wagons",
  mine_heads: "mine heads in use",
  perimeter: "guard perimeter",
};

/** A quantity, or a thing such as "coal_heap-3", by its name. */
export const thing = (what: string) => QUANTITIES[what] ?? title(what).replace(/-(\d+)$/, " $1");

const CHANGES: Record<string, string> = {
  split: "split in parts",
  span_new: "new span",
  span_vanished: "span gone",
  span_moved: "span moved",
};

export const changeWord = (kind: string) => CHANGES[kind] ?? title(kind);

const DECIMALS: Record<string, number> = { km: 2, "km²": 3 };

/** A figure: m, m² and m³ to three digits, km to 10 m, km² to 1000 m², counts whole. */
export function figure(value: number, unit: string): string {
  const whole = Math.abs(value);
  const text = unit.startsWith("m")
    ? Number(whole.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 2 })
    : whole.toFixed(DECIMALS[unit] ?? 0);
  return `${value < 0 && /[1-9]/.test(text) ? "−" : ""}${text.replaceAll(",", NARROW)}`;
}

export const amount = (value: number, unit: string) => `${figure(value, unit)}${unit && ` ${unit}`}`;
