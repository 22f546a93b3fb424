/** An oriented box that is pulled at its corners, in a plane where right angles are right. */

export interface Point {
  x: number;
  y: number;
}

export type Corners = readonly [Point, Point, Point, Point];

const middle = (a: Point, b: Point): Point => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });

export const centre = (box: Corners): Point => middle(middle(box[0], box[2]), middle(box[1], box[3]));

/** The unit vector of the first side; the second side stands upright on it. */
function along(box: Corners): Point {
  const [a, b] = box;
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  return { x: (b.x - a.x) / length, y: (b.y - a.y) / length };
}

/** Pull one corner somewhere: the opposite one stays, and so does the direction. */
export function pull(box: Corners, corner: number, to: Point): Corners {
  const fixed = box[(corner + 2) % 4] ?? box[0];
  const u = along(box);
  const reach = { x: to.x - fixed.x, y: to.y - fixed.y };
  const long = reach.x * u.x + reach.y * u.y;
  // The corner beside `to` that lies in the direction of u from the fixed one.
  const beside = { x: fixed.x + u.x * long, y: fixed.y + u.y * long };
  const other = { x: to.x - u.x * long, y: to.y - u.y * long };
  // From an even corner the second side leads to the next one, from an odd one the first side does.
  const [next, before] = corner % 2 === 0 ? [other, beside] : [beside, other];
  const turned: Point[] = [to, next, fixed, before];
  const at = (index: number) => turned[(index - corner + 4) % 4] ?? to;
  return [at(0), at(1), at(2), at(3)];
}

/** The same box with its middle somewhere else. */
export function move(box: Corners, to: Point): Corners {
  const from = centre(box);
  const shift = (point: Point): Point => ({ x: point.x + to.x - from.x, y: point.y + to.y - from.y });
  return [shift(box[0]), shift(box[1]), shift(box[2]), shift(box[3])];
}

/** The same box turned so that its first side faces `to`. */
export function turn(box: Corners, to: Point): Corners {
  const at = centre(box);
  const side = middle(box[0], box[1]);
  const angle = Math.atan2(to.y - at.y, to.x - at.x) - Math.atan2(side.y - at.y, side.x - at.x);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const turned = ({ x, y }: Point): Point => ({
    x: at.x + (x - at.x) * cos - (y - at.y) * sin,
    y: at.y + (x - at.x) * sin + (y - at.y) * cos,
  });
  return [turned(box[0]), turned(box[1]), turned(box[2]), turned(box[3])];
}

/** Where the handle stands that turns the box: outside its first side. */
export function turningPoint(box: Corners): Point {
  const at = centre(box);
  const side = middle(box[0], box[1]);
  return { x: at.x + (side.x - at.x) * 1.5, y: at.y + (side.y - at.y) * 1.5 };
}
