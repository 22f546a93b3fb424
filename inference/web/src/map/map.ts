/** The map: MapLibre held to what is looked at. */
import { effect, untracked } from "@preact/signals";
import type { Geometry } from "geojson";
import { LngLatBounds, Map as MapView, NavigationControl, ScaleControl, setWorkerUrl } from "maplibre-gl";
import { classes, scene, scenes, shownScenes, site, sites } from "../archive";
import type { Bounds } from "../contract";
import { chosenChange } from "../history";
import { detail, select } from "../queue";
import { editing } from "../redraw/editor";
import { filtersKey, look, view } from "../view";
import { markChange, markChosen, refresh } from "./finds";
import { addBasemap, addFinds, blankStyle } from "./layers";
import { serveTiles } from "./pictures";
import { drawFrames, drawScenes } from "./scenes";

const CLOSEST_ZOOM = 17.5;
const REACH_PX = 6;

let map: MapView | undefined;

export const theMap = () => map;

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Move the map once the panel beside it has its width. */
function settled(act: (chart: MapView) => void): void {
  requestAnimationFrame(() => {
    map?.resize();
    if (map) act(map);
  });
}

export function fit(bounds: Bounds, most = CLOSEST_ZOOM): void {
  settled((chart) => chart.fitBounds(bounds, { padding: 40, maxZoom: most, duration: calm() ? 0 : 300 }));
}

function boundsOf(shape: Geometry): LngLatBounds {
  const bounds = new LngLatBounds();
  if (shape.type === "GeometryCollection") {
    for (const part of shape.geometries) bounds.extend(boundsOf(part));
    return bounds;
  }
  const numbers = [shape.coordinates].flat(4) as number[];
  for (let at = 0; at + 1 < numbers.length; at += 2) bounds.extend([numbers[at] ?? 0, numbers[at + 1] ?? 0]);
  return bounds;
}

/** Bring a detection into the middle; the zoom stays as long as it can be made out. */
export function goTo(shape: Geometry): void {
  settled((chart) => {
    const bounds = boundsOf(shape);
    const fits = chart.cameraForBounds(bounds, { padding: 110, maxZoom: CLOSEST_ZOOM })?.zoom ?? CLOSEST_ZOOM;
    const zoom = Math.min(Math.max(chart.getZoom(), fits - 1.5), fits);
    chart.easeTo({ center: bounds.getCenter(), zoom, duration: calm() ? 0 : 220 });
  });
}

/** Come so close that grips do not lie upon each other. */
export function comeClose(shape: Geometry): void {
  settled((chart) =>
    chart.fitBounds(boundsOf(shape), { padding: 200, maxZoom: 20, duration: calm() ? 0 : 220 }),
  );
}

export function areaInSight(): Bounds | null {
  return map ? (map.getBounds().toArray().flat() as Bounds) : null;
}

/** Everything that has a place. */
function whole(): Bounds | null {
  const onGround = scenes.peek().filter((known) => known.frame === "lonlat");
  const placed = [...sites.peek(), ...onGround].flatMap(({ bounds }) => (bounds ? [bounds] : []));
  if (placed.length === 0) return null;
  const side = (index: 0 | 1 | 2 | 3, pick: typeof Math.min) =>
    pick(...placed.map((bounds) => bounds[index]));
  return [side(0, Math.min), side(1, Math.min), side(2, Math.max), side(3, Math.max)];
}

/** Show the scene, else the site, else all. */
export function goHome(): void {
  const bounds = scene.peek()?.bounds ?? site.peek()?.bounds ?? whole();
  if (bounds) fit(bounds);
}

/** Show what was found, or the bare ground. */
export function showFinds(on: boolean): void {
  for (const id of map?.getLayersOrder() ?? []) {
    if (id.startsWith("finds-") || id === "chosen")
      map?.setLayoutProperty(id, "visibility", on ? "visible" : "none");
  }
}

function listen(chart: MapView): void {
  chart.on("moveend", () => {
    const { lat, lng } = chart.getCenter();
    look({ at: { zoom: chart.getZoom(), lat, lon: lng } });
    drawScenes(chart, shownScenes.peek());
    void refresh(chart);
  });
  chart.on("click", ({ point }) => {
    if (editing.peek()) return;
    const layers = chart.getLayersOrder().filter((id) => id.startsWith("finds-"));
    const box: [[number, number], [number, number]] = [
      [point.x - REACH_PX, point.y - REACH_PX],
      [point.x + REACH_PX, point.y + REACH_PX],
    ];
    const [found] = chart.queryRenderedFeatures(box, { layers });
    select(found ? String(found.properties.id) : null);
  });
}

function follow(chart: MapView): void {
  effect(() => {
    drawFrames(chart, shownScenes.value);
    drawScenes(chart, shownScenes.value);
  });
  effect(() => {
    void filtersKey.value;
    untracked(() => void refresh(chart));
  });
  effect(() => markChange(chosenChange.value?.geometry ?? null));
  effect(() => markChosen(editing.value ? null : (detail.value?.geometry ?? null)));
}

/** Make the map in an element; the classes are known by then. */
export function openMap(container: HTMLElement, basemap: boolean): void {
  serveTiles();
  setWorkerUrl(new URL("worker.js", document.baseURI).href);
  const { at } = view.peek();
  const chart = new MapView({
    container,
    style: blankStyle(),
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    touchPitch: false,
    renderWorldCopies: false,
    maxZoom: 22,
    ...(at ? { center: [at.lon, at.lat], zoom: at.zoom } : {}),
    locale: { "Map.Title": "Map of scenes and detections; the list beside it holds the same" },
  });
  map = chart;
  chart.touchZoomRotate.disableRotation();
  chart.addControl(new NavigationControl({ showCompass: false }), "top-right");
  chart.addControl(new ScaleControl({ maxWidth: 120 }), "bottom-right");
  chart.on("load", () => {
    if (basemap) addBasemap(chart); // not in the style: "load" would wait for its picture
    addFinds(chart, classes.peek());
    listen(chart);
    follow(chart);
    if (!at) goHome();
  });
}
