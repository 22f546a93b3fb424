/** Detections in sight: outlines where they are few, counts of cells where they are many. */

import { signal } from "@preact/signals";
import type { Feature, FeatureCollection, Geometry, Point } from "geojson";
import { type GeoJSONSource, type Map as MapView, Marker } from "maplibre-gl";
import { classes } from "../archive";
import { fetchCells, fetchDetections, isAbort, type Query, told } from "../client";
import type { Bounds, Cell, Detection, Shape } from "../contract";
import { say } from "../say";
import { filters, filtersKey, view } from "../view";
import { stateOf } from "../words";
import { donut, heaps } from "./donut";

const CELLS_BELOW_ZOOM = 11.5;
const MOST = 4000;
const PAGE = 1000;
const MARGIN = 0.25;

/** How many are in sight. */
export const inSight = signal(0);

let asked: AbortController | undefined;
let loaded: { key: string; bounds: Bounds } | null = null;
let shown = new Map<string, Detection>();
let cells: Marker[] = [];
let chart: MapView | undefined;

interface Drawn {
  id: string;
  class: string;
  state: string;
  /** 0 where it is not known: then a dot stands for it. */
  length_m: number;
  chosen: boolean;
}

function drawn(detection: Detection): Drawn {
  const { class_now, review, length_m } = detection.properties;
  const chosen = detection.id === view.peek().selected;
  return { id: detection.id, class: class_now, state: stateOf(review), length_m: length_m ?? 0, chosen };
}

function source(name: string): GeoJSONSource | undefined {
  return chart?.getSource<GeoJSONSource>(name);
}

function draw(): void {
  const outlines: Feature<Shape, Drawn>[] = [];
  const dots: Feature<Point, Drawn>[] = [];
  for (const detection of shown.values()) {
    const { centre_lon, centre_lat } = detection.properties;
    const properties = drawn(detection);
    outlines.push({ type: "Feature", geometry: detection.geometry, properties });
    if (centre_lon === null || centre_lat === null) continue;
    dots.push({
      type: "Feature",
      geometry: { type: "Point", coordinates: [centre_lon, centre_lat] },
      properties,
    });
  }
  const collection = <G extends Shape | Point>(
    features: Feature<G, Drawn>[],
  ): FeatureCollection<G, Drawn> => ({
    type: "FeatureCollection",
    features,
  });
  source("finds")?.setData(collection(outlines));
  source("dots")?.setData(collection(dots));
}

function clearCells(): void {
  for (const marker of cells) marker.remove();
  cells = [];
}

function drawCells(map: MapView, counted: readonly Cell[]): void {
  clearCells();
  cells = heaps(counted, map.getZoom()).map((heap) => {
    const element = donut(heap, classes.peek());
    const at: [number, number] = [heap.lon, heap.lat];
    element.addEventListener("click", () => map.easeTo({ center: at, zoom: map.getZoom() + 2 }));
    return new Marker({ element }).setLngLat(at).addTo(map);
  });
  inSight.value = counted.reduce((sum, cell) => sum + cell.count, 0);
}

function around(map: MapView, margin = MARGIN): Bounds {
  const [[west, south], [east, north]] = map.getBounds().toArray();
  const x = (east - west) * margin;
  const y = (north - south) * margin;
  return [
    Math.max(west - x, -180),
    Math.max(south - y, -90),
    Math.min(east + x, 180),
    Math.min(north + y, 90),
  ];
}

function covered(map: MapView, key: string): boolean {
  if (loaded === null || loaded.key !== key) return false;
  const [[west, south], [east, north]] = map.getBounds().toArray();
  const [w, s, e, n] = loaded.bounds;
  return w <= Math.max(west, -180) && s <= south && e >= Math.min(east, 180) && n >= north;
}

async function pages(query: Query, stop: AbortSignal): Promise<Map<string, Detection> | null> {
  const found = new Map<string, Detection>();
  let next: string | null = null;
  do {
    const page = await fetchDetections(
      { ...query, limit: PAGE, ...(next === null ? {} : { cursor: next }) },
      stop,
    );
    if (page.matched > MOST) return null;
    for (const feature of page.features) found.set(feature.id, feature);
    next = page.next;
  } while (next !== null);
  return found;
}

function within(bounds: Bounds): Query {
  return { ...filters.peek(), bbox: bounds.map((degrees) => degrees.toFixed(6)).join(",") };
}

/** More than is in sight was asked for, so that small moves ask for nothing. */
function countInSight(map: MapView): void {
  const bounds = map.getBounds();
  inSight.value = [...shown.values()].filter(
    ({ properties: { centre_lon: lon, centre_lat: lat } }) =>
      lon !== null && lat !== null && bounds.contains([lon, lat]),
  ).length;
}

async function load(map: MapView, key: string, stop: AbortSignal): Promise<void> {
  const bounds = around(map);
  const query = within(bounds);
  const single = view.peek().scene !== null;
  const found = single || map.getZoom() >= CELLS_BELOW_ZOOM ? await pages(query, stop) : null;
  if (found === null) {
    const counted = await fetchCells({ ...within(around(map, 0)), zoom: map.getZoom().toFixed(2) }, stop);
    shown = new Map();
    loaded = null;
    drawCells(map, counted);
  } else {
    clearCells();
    shown = found;
    loaded = { key, bounds };
    countInSight(map);
  }
  draw();
}

/** Ask for what is in sight, unless it is there already. */
export async function refresh(map: MapView): Promise<void> {
  chart = map;
  const key = filtersKey.peek();
  if (covered(map, key)) {
    countInSight(map);
    return;
  }
  asked?.abort();
  asked = new AbortController();
  try {
    await load(map, key, asked.signal);
  } catch (error) {
    if (!isAbort(error)) say(told(error), true);
  }
}

/** There may be more than was asked for before. */
export async function refreshAnew(): Promise<void> {
  loaded = null;
  if (chart) await refresh(chart);
}

/** A detection was reviewed: draw it as it is now. */
export function changed(detection: Detection): void {
  if (!shown.has(detection.id)) return;
  shown.set(detection.id, detection);
  draw();
}

function mark(name: string, shape: Geometry | null): void {
  const features = shape ? [{ type: "Feature" as const, geometry: shape, properties: {} }] : [];
  source(name)?.setData({ type: "FeatureCollection", features });
}

/** Draw the halo around the chosen one. */
export function markChosen(shape: Shape | null): void {
  mark("chosen", shape);
  draw();
}

/** Draw where something changed. */
export const markChange = (shape: Geometry | null): void => mark("change", shape);
