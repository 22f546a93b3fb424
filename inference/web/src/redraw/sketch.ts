/** An outline while it is redrawn: a box as a box, anything else as the points of its course. */

import type { Position } from "geojson";
import { MercatorCoordinate } from "maplibre-gl";
import type { Shape } from "../contract";
import { type Corners, centre, move, type Point, pull, turn, turningPoint } from "./box";

export type Role = "corner" | "point" | "between" | "move" | "turn";

export interface Grip {
  role: Role;
  index: number;
  at: Point;
}

export type Sketch =
  | { kind: "box"; corners: Corners }
  | { kind: "course"; points: readonly Point[]; type: Shape["type"]; closed: boolean };

function flat([lon, lat]: Position): Point {
  const { x, y } = MercatorCoordinate.fromLngLat([lon ?? 0, lat ?? 0]);
  return { x, y };
}

export function degrees({ x, y }: Point): [number, number] {
  const { lng, lat } = new MercatorCoordinate(x, y).toLngLat();
  return [lng, lat];
}

export function sketchOf(shape: Shape): Sketch {
  const course = shape.type === "Polygon" ? (shape.coordinates[0] ?? []) : shape.coordinates;
  const first = course[0];
  const last = course.at(-1);
  const closed = course.length > 2 && first?.[0] === last?.[0] && first?.[1] === last?.[1];
  const points = (closed ? course.slice(0, -1) : course).map(flat);
  const [a, b, c, d] = points;
  if (shape.type === "Polygon" && points.length === 4 && a && b && c && d)
    return { kind: "box", corners: [a, b, c, d] };
  return { kind: "course", points, type: shape.type, closed };
}

export function shapeOf(sketch: Sketch): Shape {
  const points = (sketch.kind === "box" ? sketch.corners : sketch.points).map(degrees);
  const closed = sketch.kind === "box" || sketch.closed;
  const course = closed ? [...points, ...points.slice(0, 1)] : points;
  if (sketch.kind === "box" || sketch.type === "Polygon")
    return { type: "Polygon", coordinates: [anticlockwise(course)] };
  return { type: "LineString", coordinates: course };
}

/** As RFC 7946 wants the outer ring. */
function anticlockwise(ring: [number, number][]): [number, number][] {
  let doubled = 0;
  ring.slice(1).forEach(([x, y], index) => {
    const before = ring[index] ?? [0, 0];
    doubled += before[0] * y - x * before[1];
  });
  return doubled < 0 ? [...ring].reverse() : ring;
}

export function grips(sketch: Sketch): Grip[] {
  if (sketch.kind === "box") {
    const corners = sketch.corners.map((at, index): Grip => ({ role: "corner", index, at }));
    return [
      ...corners,
      { role: "turn", index: 0, at: turningPoint(sketch.corners) },
      { role: "move", index: 0, at: centre(sketch.corners) },
    ];
  }
  const { points, closed } = sketch;
  const own = points.map((at, index): Grip => ({ role: "point", index, at }));
  const between = points.flatMap((at, index): Grip[] => {
    const next = points[index + 1] ?? (closed ? points[0] : undefined);
    return next ? [{ role: "between", index, at: { x: (at.x + next.x) / 2, y: (at.y + next.y) / 2 } }] : [];
  });
  return [...own, ...between];
}

/** The sketch with one grip pulled somewhere. */
export function pulled(sketch: Sketch, grip: Grip, to: Point): Sketch {
  if (sketch.kind === "box") {
    const { corners } = sketch;
    if (grip.role === "turn") return { kind: "box", corners: turn(corners, to) };
    if (grip.role === "move") return { kind: "box", corners: move(corners, to) };
    return { kind: "box", corners: pull(corners, grip.index, to) };
  }
  const { points } = sketch;
  if (grip.role === "between") return { ...sketch, points: points.toSpliced(grip.index + 1, 0, to) };
  return { ...sketch, points: points.with(grip.index, to) };
}

/** The sketch without one point, as long as enough are left. */
export function without(sketch: Sketch, grip: Grip): Sketch {
  if (sketch.kind === "box" || grip.role !== "point") return sketch;
  const least = sketch.closed ? 3 : 2;
  return sketch.points.length > least
    ? { ...sketch, points: sketch.points.toSpliced(grip.index, 1) }
    : sketch;
}
