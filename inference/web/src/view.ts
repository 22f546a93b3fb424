/** What is looked at: everything that a link to a view holds. */
import { computed, signal } from "@preact/signals";
import type { Bounds, Order } from "./contract";

export interface Place {
  zoom: number;
  lat: number;
  lon: number;
}

export interface View {
  at: Place | null;
  site: string | null;
  date: string | null;
  scene: string | null;
  classes: string[];
  review: string[];
  min: number;
  max: number;
  order: Order;
  area: Bounds | null;
  selected: string | null;
}

export const EVERYTHING: View = {
  at: null,
  site: null,
  date: null,
  scene: null,
  classes: [],
  review: [],
  min: 0,
  max: 1,
  order: "uncertainty",
  area: null,
  selected: null,
};

const ORDERS: readonly string[] = ["uncertainty", "score", "id"];

function numbers(text: string | null, separator: string, count: number): number[] | null {
  const parts = text?.split(separator).map(Number) ?? [];
  return parts.length === count && parts.every(Number.isFinite) ? parts : null;
}

const words = (text: string | null) => text?.split(",").filter(Boolean) ?? [];

/** The view of a link; what it does not say, or says wrongly, is as in EVERYTHING. */
export function viewOf(hash: string): View {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const at = numbers(said.get("at"), "/", 3);
  const score = numbers(said.get("score"), "-", 2);
  const order = said.get("order") ?? "";
  return {
    at: at && { zoom: at[0] ?? 0, lat: at[1] ?? 0, lon: at[2] ?? 0 },
    site: said.get("site"),
    date: said.get("date"),
    scene: said.get("scene"),
    classes: words(said.get("class")),
    review: words(said.get("review")),
    min: score?.[0] ?? 0,
    max: score?.[1] ?? 1,
    order: ORDERS.includes(order) ? (order as Order) : EVERYTHING.order,
    area: numbers(said.get("area"), ",", 4) as Bounds | null,
    selected: said.get("d"),
  };
}

/** The link of a view, without what is as in EVERYTHING. */
export function hashOf(view: View): string {
  const said: [string, string | null][] = [
    ["at", view.at && [view.at.zoom.toFixed(2), view.at.lat.toFixed(5), view.at.lon.toFixed(5)].join("/")],
    ["site", view.site],
    ["date", view.date],
    ["scene", view.scene],
    ["class", view.classes.join(",")],
    ["review", view.review.join(",")],
    ["score", view.min > 0 || view.max < 1 ? `${view.min}-${view.max}` : null],
    ["order", view.order === EVERYTHING.order ? null : view.order],
    ["area", view.area?.map((degrees) => degrees.toFixed(5)).join(",") ?? null],
    ["d", view.selected],
  ];
  const kept = said.filter((pair): pair is [string, string] => Boolean(pair[1]));
  return `#${kept.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%2C", ",")}`).join("&")}`;
}

export const view = signal<View>(viewOf(location.hash));

/** Change the view; the rest stays. */
export function look(change: Partial<View>): void {
  view.value = { ...view.peek(), ...change };
}

/** Those parts of it that much depends on, apart from what moves with the map. */
export const selected = computed(() => view.value.selected);
export const ofOneDate = computed(() => view.value.date !== null || view.value.scene !== null);

/** The filters as the server wants them, without the area. */
export const filters = computed(() => {
  const { site, date, scene, classes, review, min, max } = view.value;
  const query: Record<string, string | number> = {};
  if (scene) query.scene = scene;
  else {
    if (site) query.site = site;
    if (date) Object.assign(query, { from: date, to: date });
  }
  if (classes.length) query.class = classes.join(",");
  if (review.length) query.review = review.join(",");
  if (min > 0) query.min_score = min;
  if (max < 1) query.max_score = max;
  return query;
});

/** The same as text, to notice changes. */
export const filtersKey = computed(() => JSON.stringify(filters.value));
