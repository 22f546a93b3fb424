/** The map's style: sources and layers, with no word of outside addresses. */
import type {
  ExpressionSpecification,
  GeoJSONSourceSpecification,
  LayerSpecification,
  LineLayerSpecification,
  Map as MapView,
  StyleSpecification,
} from "maplibre-gl";
import type { KnownClass } from "../archive";
import { hatchImage, lookOf } from "./patterns";
import { tilesOf } from "./pictures";

const nothing = (): GeoJSONSourceSpecification => ({
  type: "geojson",
  data: { type: "FeatureCollection", features: [] },
});
/** Scenes are drawn below this layer. */
export const ABOVE_SCENES = "frames";
const SMALL_BELOW_ZOOM = 15.5;

const GROUND: LayerSpecification = {
  id: "ground",
  type: "background",
  paint: { "background-color": "#0c1116" },
};
const FRAMES: LineLayerSpecification = {
  id: ABOVE_SCENES,
  type: "line",
  source: "frames",
  paint: { "line-color": "#7d8fa3", "line-width": 1, "line-opacity": 0.7 },
};

export function blankStyle(): StyleSpecification {
  return {
    version: 8,
    sources: { frames: nothing(), finds: nothing(), dots: nothing(), chosen: nothing(), change: nothing() },
    layers: [GROUND, FRAMES],
  };
}

/** Lay the basemap under all; before the first scene. */
export function addBasemap(map: MapView): void {
  map.addSource("basemap", { type: "raster", tiles: [tilesOf("/v1/basemap")], tileSize: 256 });
  map.addLayer({ id: "basemap", type: "raster", source: "basemap" }, ABOVE_SCENES);
}

/** Dots stand for what is under a dozen pixels: longer than this, in metres at 40° north, it is seen by itself. */
const LARGE_ENOUGH: ExpressionSpecification = [
  "step",
  ["zoom"],
  3.5,
  11,
  ["case", [">", ["get", "length_m"], 350], 0, 3.5],
  12,
  ["case", [">", ["get", "length_m"], 175], 0, 3.5],
  13,
  ["case", [">", ["get", "length_m"], 88], 0, 3.5],
  14,
  ["case", [">", ["get", "length_m"], 44], 0, 3.5],
  15,
  ["case", [">", ["get", "length_m"], 22], 0, 3.5],
];

/** Where something changed: a dark line under a light dashed one, to be seen on any ground. */
const CHANGE: readonly LineLayerSpecification[] = [
  {
    id: "change-under",
    type: "line",
    source: "change",
    layout: { "line-join": "round" },
    paint: { "line-color": "#0c1116", "line-width": 6, "line-opacity": 0.75 },
  },
  {
    id: "change",
    type: "line",
    source: "change",
    layout: { "line-join": "round" },
    paint: { "line-color": "#ffffff", "line-width": 2.5, "line-dasharray": [2.4, 1.6] },
  },
];

/** The colour of a feature's class. */
function colorOf(classes: readonly KnownClass[]): ExpressionSpecification {
  return classes.reduce<ExpressionSpecification>(
    (rest, known) => ["case", ["==", ["get", "class"], known.name], known.color, rest],
    ["to-color", "#ffffff"],
  );
}

const faint: ExpressionSpecification = ["case", ["==", ["get", "state"], "reject"], 0.35, 1];

/** Hatches first, the halo of the chosen one over them, then outlines: one layer a class, as dashes are no data. */
export function addFinds(map: MapView, classes: readonly KnownClass[]): void {
  classes.forEach((known, index) => {
    map.addImage(`hatch-${known.name}`, hatchImage(lookOf(index, known).hatch, known.color), {
      pixelRatio: 2,
    });
  });
  map.addLayer({
    id: "finds-fill",
    type: "fill",
    source: "finds",
    filter: ["all", ["==", ["geometry-type"], "Polygon"], ["!=", ["get", "state"], "reject"]],
    paint: {
      "fill-pattern": ["concat", "hatch-", ["get", "class"]],
      // From close by it is the ground that one wants to see, above all of the chosen one.
      "fill-opacity": [
        "interpolate",
        ["linear"],
        ["zoom"],
        14,
        ["case", ["get", "chosen"], 0, 1],
        16.5,
        ["case", ["get", "chosen"], 0, 0.3],
      ],
    },
  });
  map.addLayer({
    id: "chosen",
    type: "line",
    source: "chosen",
    layout: { "line-join": "round", "line-cap": "round" },
    paint: { "line-color": "#ffffff", "line-width": 7, "line-opacity": 0.9 },
  });
  classes.forEach((known, index) => {
    map.addLayer(outline(known, lookOf(index, known).dash));
  });
  for (const layer of CHANGE) map.addLayer(layer);
  map.addLayer({
    id: "finds-dots",
    type: "circle",
    source: "dots",
    maxzoom: SMALL_BELOW_ZOOM,
    paint: {
      "circle-radius": LARGE_ENOUGH,
      "circle-color": colorOf(classes),
      "circle-stroke-color": "#0c1116",
      "circle-stroke-width": 1,
    },
  });
}

function outline(known: KnownClass, dash: number[] | null): LineLayerSpecification {
  const layer: LineLayerSpecification = {
    id: `finds-${known.name}`,
    type: "line",
    source: "finds",
    filter: ["==", ["get", "class"], known.name],
    layout: { "line-join": "round" },
    paint: {
      "line-color": known.color,
      "line-opacity": faint,
      "line-width": ["case", ["in", ["get", "state"], ["literal", ["accept", "relabel", "redraw"]]], 3, 2],
    },
  };
  if (dash) layer.paint = { ...layer.paint, "line-dasharray": dash };
  return layer;
}
