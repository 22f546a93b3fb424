/** What the server says and is told, as JSON. */
import type { Feature, Geometry, LineString, Polygon } from "geojson";

export type Bounds = [west: number, south: number, east: number, north: number];
export type Decision = "accept" | "reject" | "relabel" | "redraw";
export type Role = "submit" | "review" | "admin";
export type Frame = "lonlat" | "px";
export type Order = "uncertainty" | "score" | "id";
export type Shape = Polygon | LineString;

export interface Me {
  name: string;
  role: Role;
  /** Whether the server asks nobody for a key. */
  open: boolean;
}

export interface ObjectClass {
  name: string;
  kind: "box" | "line" | "strip" | null;
  /** Null of a class that only the archive knows. */
  color: string | null;
}

export interface Model {
  name: string;
  sha256: string;
  serving: boolean;
  classes: ObjectClass[];
}

export interface Site {
  id: string;
  name: string;
  aliases: string[];
  bounds: Bounds | null;
  scenes: number;
  dates: string[];
  detections: number;
}

export interface Scene {
  id: string;
  acquired: string | null;
  sensor: string | null;
  gsd_m: number;
  width: number;
  height: number;
  km2: number;
  frame: Frame;
  bounds: Bounds;
  sites: string[];
  scored: boolean;
  detections: number;
}

export interface ScenePage {
  scenes: Scene[];
  next: string | null;
  matched: number;
}

export interface Review {
  decision: Decision;
  class: string | null;
  note: string;
  reviewer: string;
  time: string;
}

export interface Facts {
  detection: string;
  class: string;
  class_now: string;
  score: number;
  length_m: number | null;
  width_m: number | null;
  area_m2: number | null;
  closed: boolean | null;
  enclosed_area_m2: number | null;
  centre_lon: number | null;
  centre_lat: number | null;
  cut: boolean | null;
  scene: string;
  scene_sha256: string | null;
  weights: string;
  weights_sha256: string;
  site: string | null;
  acquired: string | null;
  frame: Frame;
  uncertainty: number;
  uncertainty_by: "probability" | "threshold";
  review: Review | null;
}

export type Detection = Feature<Shape, Facts> & { id: string };

export type Fact = string | number | boolean | null | Fact[] | { [name: string]: Fact };

export interface Provenance {
  /** The record of the run. */
  run: Record<string, Fact>;
  /** Where the log of the archive tells of it. */
  log: { seq: number; time: string; hash: string } | null;
}

export interface DetectionDetail extends Detection {
  reviews: Review[];
  provenance: Provenance;
}

export interface DetectionPage {
  features: Detection[];
  matched: number;
  next: string | null;
}

export interface Cell {
  lon: number;
  lat: number;
  count: number;
  class: string;
}

export interface ReviewGiven {
  decision: Decision;
  class?: string;
  geometry?: Shape;
  note?: string;
  reviewer?: string;
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Job {
  id: string;
  state: JobState;
  scene: string | null;
  name: string;
  created: string;
  tiles_done: number;
  tiles: number;
  progress: number;
  eta_s: number | null;
  detections: number | null;
  /** What it waits for, if for more than its turn. */
  note: string | null;
  error: string | null;
  owner: string;
}

/** A scene as a site sees it; what else is told refers to views by their number. */
export interface Glance {
  scene: string;
  date: string;
  acquired: string;
  sensor: string | null;
  gsd_m: number;
  hidden: { reason: string; share: number }[];
  detections: number;
}

export interface Measure {
  view: number;
  date: string;
  /** As found. */
  raw: number;
  /** Corrected, in 95 of 100 cases between low and high; null where it cannot be said. */
  value: number | null;
  low: number | null;
  high: number | null;
  observable: boolean;
  reason: string | null;
  checked: number | null;
}

export interface Quantity {
  name: string;
  unit: string;
  class: string;
  measures: Measure[];
}

export interface Change {
  what: string;
  kind: string;
  before_date: string;
  after_date: string;
  by: number;
  low: number;
  high: number;
  unit: string;
  sure: boolean;
  class: string | null;
  checked: boolean;
  geometry: Geometry | null;
}

export interface Rule {
  name: string;
  means: string;
  author: string;
  date: string;
}

export interface Sign {
  rule: string;
  view: number;
  date: string;
  /** Null where it cannot be said. */
  holds: boolean | null;
  reason: string | null;
  parts: string[];
}

/** A site over time. */
export interface SiteHistory {
  id: string;
  name: string;
  weights: string;
  views: Glance[];
  quantities: Quantity[];
  changes: Change[];
  rules: Rule[];
  signs: Sign[];
  /** Why something cannot be said, word by word. */
  reasons: Record<string, string>;
  notes: string[];
}
