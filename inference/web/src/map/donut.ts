/** Where many detections lie: a ring with the share of each class, and their number. */
import { MercatorCoordinate } from "maplibre-gl";
import type { KnownClass } from "../archive";
import type { Cell } from "../contract";
import { count } from "../words";

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 15.9155; // a circumference of 100, so that shares are lengths

/** What lies in one square of the grid, of whatever class. */
export interface Heap {
  lon: number;
  lat: number;
  total: number;
  of: Map<string, number>;
}

/** The counts of each class put together by squares of 64 px; their middle is where most of them are. */
export function heaps(cells: readonly Cell[], zoom: number): Heap[] {
  const squares = 8 * 2 ** zoom;
  const found = new Map<string, Heap>();
  for (const { lon, lat, count, class: name } of cells) {
    const { x, y } = MercatorCoordinate.fromLngLat([lon, lat]);
    const square = `${Math.floor(x * squares)} ${Math.floor(y * squares)}`;
    const heap = found.get(square) ?? { lon, lat, total: 0, of: new Map<string, number>() };
    const total = heap.total + count;
    heap.lon += ((lon - heap.lon) * count) / total;
    heap.lat += ((lat - heap.lat) * count) / total;
    heap.total = total;
    heap.of.set(name, (heap.of.get(name) ?? 0) + count);
    found.set(square, heap);
  }
  return [...found.values()];
}

function circle(attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS(SVG, "circle");
  for (const [name, value] of Object.entries({ cx: "20", cy: "20", r: `${RADIUS}`, ...attributes })) {
    element.setAttribute(name, value);
  }
  return element;
}

function short(total: number): string {
  if (total < 1000) return `${total}`;
  return total < 10_000 ? `${(total / 1000).toFixed(1)}k` : `${Math.round(total / 1000)}k`;
}

export function donut({ total, of }: Heap, classes: readonly KnownClass[]): HTMLElement {
  const ring = document.createElementNS(SVG, "svg");
  ring.setAttribute("viewBox", "0 0 40 40");
  ring.append(circle({ fill: "#0c1116", "fill-opacity": "0.88" }));
  let done = 0;
  for (const known of classes) {
    const share = (100 * (of.get(known.name) ?? 0)) / total;
    if (share === 0) continue;
    const dash = { "stroke-dasharray": `${share} ${100 - share}`, "stroke-dashoffset": `${25 - done}` };
    ring.append(circle({ fill: "none", stroke: known.color, "stroke-width": "5", ...dash }));
    done += share;
  }
  const element = document.createElement("div");
  element.className = "cell";
  element.style.setProperty("--side", `${Math.min(34 + 5 * Math.log10(total) ** 1.5, 58)}px`);
  element.title = `${count(total)} detections; click to come closer`;
  element.append(ring, Object.assign(document.createElement("span"), { textContent: short(total) }));
  return element;
}
