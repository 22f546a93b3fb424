/** Scenes as pictures, where they are in sight and large enough, and the frames of all. */
import type { Polygon } from "geojson";
import type { GeoJSONSource, Map as MapView } from "maplibre-gl";
import type { Bounds, Scene } from "../contract";
import { ABOVE_SCENES } from "./layers";
import { tilesOf } from "./pictures";

const AT_ONCE = 6;
const SMALLEST_PX = 80;
const EQUATOR_M_PER_PX = 156_543.034; // of zoom 0 with tiles of 256 px

/** The zoom at which a tile of 256 px has the scene's own pixels. */
function ownZoom(scene: Scene): number {
  const lat = (scene.bounds[1] + scene.bounds[3]) / 2;
  const metres = EQUATOR_M_PER_PX * Math.cos((lat * Math.PI) / 180);
  return Math.min(Math.max(Math.ceil(Math.log2(metres / scene.gsd_m)), 1), 22);
}

function meet(one: Bounds, other: Bounds): boolean {
  return one[0] < other[2] && one[2] > other[0] && one[1] < other[3] && one[3] > other[1];
}

/** Whether the scene is more than a speck: MapLibre's zoom is one less than that of 256 px tiles. */
function seen(scene: Scene, map: MapView): boolean {
  const sides = Math.max(scene.width, scene.height);
  return sides * 2 ** (map.getZoom() + 1 - ownZoom(scene)) >= SMALLEST_PX;
}

function frame(scene: Scene): Polygon {
  const [west, south, east, north] = scene.bounds;
  return {
    type: "Polygon",
    coordinates: [
      [
        [west, south],
        [east, south],
        [east, north],
        [west, north],
        [west, south],
      ],
    ],
  };
}

const sourceId = (scene: Scene) => `scene-${scene.id}`;

function add(map: MapView, scene: Scene): void {
  const id = sourceId(scene);
  if (!map.getSource(id)) {
    map.addSource(id, {
      type: "raster",
      tiles: [tilesOf(`/v1/scenes/${encodeURIComponent(scene.id)}/tiles`)],
      tileSize: 256,
      bounds: scene.bounds,
      maxzoom: ownZoom(scene),
    });
  }
  map.addLayer({ id, type: "raster", source: id, paint: { "raster-fade-duration": 120 } }, ABOVE_SCENES);
}

/** The newest last, so that it lies on top. */
function wanted(map: MapView, scenes: readonly Scene[]): Scene[] {
  const bounds = map.getBounds().toArray().flat() as Bounds;
  return scenes
    .filter((scene) => meet(scene.bounds, bounds) && seen(scene, map))
    .sort((a, b) => (b.acquired ?? "").localeCompare(a.acquired ?? "") || a.id.localeCompare(b.id))
    .slice(0, AT_ONCE)
    .reverse();
}

/** Show what is in sight of these scenes. */
export function drawScenes(map: MapView, scenes: readonly Scene[]): void {
  const show = wanted(map, scenes);
  const ids = show.map(sourceId);
  const there = map.getLayersOrder().filter((id) => id.startsWith("scene-"));
  if (ids.join() !== there.join()) {
    for (const id of there) {
      map.removeLayer(id);
      if (!ids.includes(id)) map.removeSource(id);
    }
    for (const scene of show) add(map, scene);
  }
}

export function drawFrames(map: MapView, scenes: readonly Scene[]): void {
  map.getSource<GeoJSONSource>("frames")?.setData({
    type: "FeatureCollection",
    features: scenes.map((scene) => ({ type: "Feature", geometry: frame(scene), properties: {} })),
  });
}
