/** Redraw the chosen outline on the map: by its grips, with the mouse or with the arrow keys. */
import { signal } from "@preact/signals";
import { type GeoJSONSource, type Map as MapView, Marker } from "maplibre-gl";
import type { Shape } from "../contract";
import { say } from "../say";
import {
  degrees,
  type Grip,
  grips,
  pulled,
  type Role,
  type Sketch,
  shapeOf,
  sketchOf,
  without,
} from "./sketch";

const SOURCE = "sketch";
const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const NAMES: Record<Role, string> = {
  corner: "Corner",
  point: "Point",
  between: "New point",
  move: "Whole box",
  turn: "Turn",
};

export const editing = signal(false);

let map: MapView | undefined;
let sketch: Sketch | undefined;
let markers: Marker[] = [];

function draw(): void {
  if (!map || !sketch) return;
  map
    .getSource<GeoJSONSource>(SOURCE)
    ?.setData({ type: "Feature", geometry: shapeOf(sketch), properties: {} });
}

/** Put the grips where they belong; those of a drag that goes on keep their elements. */
function place(): void {
  if (!sketch) return;
  grips(sketch).forEach((grip, index) => {
    markers[index]?.setLngLat(degrees(grip.at));
  });
}

function rebuild(focus = -1): void {
  for (const marker of markers) marker.remove();
  markers = sketch ? grips(sketch).map((grip, index) => gripMarker(grip, index)) : [];
  markers[focus]?.getElement().focus();
  draw();
}

function gripMarker(grip: Grip, index: number): Marker {
  const element = document.createElement("button");
  element.type = "button";
  element.className = `grip grip-${grip.role}`;
  element.setAttribute("aria-label", `${NAMES[grip.role]} ${grip.index + 1}: arrow keys move it`);
  const marker = new Marker({ element, draggable: true }).setLngLat(degrees(grip.at));
  let before = sketch;
  marker.on("dragstart", () => {
    before = sketch;
  });
  marker.on("drag", () => {
    if (!before) return;
    sketch = pulled(before, grip, pointOf(marker));
    draw();
    if (grip.role !== "between") place();
  });
  marker.on("dragend", () => rebuild());
  element.addEventListener("keydown", (event) => byKey(event, grip, index));
  if (map) marker.addTo(map);
  return marker;
}

function pointOf(marker: Marker) {
  const { lng, lat } = marker.getLngLat();
  const at = sketchOf({ type: "LineString", coordinates: [[lng, lat]] });
  return (at.kind === "course" ? at.points[0] : undefined) ?? { x: 0, y: 0 };
}

function byKey(event: KeyboardEvent, grip: Grip, index: number): void {
  const arrow = ARROWS[event.key];
  if (!map || !sketch) return;
  if (arrow) {
    const px = (event.shiftKey ? 10 : 1) / (512 * 2 ** map.getZoom());
    const now = grips(sketch)[index] ?? grip;
    sketch = pulled(sketch, grip, { x: now.at.x + arrow[0] * px, y: now.at.y + arrow[1] * px });
    rebuild(grip.role === "between" ? grip.index + 1 : index);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    sketch = without(sketch, grip);
    rebuild(Math.min(index, grips(sketch).length - 1));
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

export function begin(chart: MapView, shape: Shape): void {
  map = chart;
  sketch = sketchOf(shape);
  if (!chart.getSource(SOURCE)) {
    chart.addSource(SOURCE, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    chart.addLayer({
      id: SOURCE,
      type: "line",
      source: SOURCE,
      paint: { "line-color": "#ffffff", "line-width": 2, "line-dasharray": [2, 1.5] },
    });
  }
  editing.value = true;
  rebuild(0);
  say("Redraw: pull the grips. Enter saves, Escape gives up.");
}

/** End it; gives the outline as it was drawn. */
export function end(): Shape | null {
  const shape = sketch ? shapeOf(sketch) : null;
  sketch = undefined;
  rebuild();
  map?.getSource<GeoJSONSource>(SOURCE)?.setData({ type: "FeatureCollection", features: [] });
  editing.value = false;
  return shape;
}
