/** How each class looks beside its colour, for eyes that tell colours apart badly: a dash and a hatch. */
import type { KnownClass } from "../archive";

export interface Look {
  /** Lengths of dash and gap, in line widths; none for an unbroken line. */
  dash: number[] | null;
  hatch: Hatch | null;
}

export type Hatch = "diagonal" | "dots" | "level" | "cross";

const LOOKS: readonly Look[] = [
  { dash: null, hatch: "diagonal" },
  { dash: null, hatch: "dots" },
  { dash: [3, 1.2], hatch: "cross" },
  { dash: [1, 0.8], hatch: "level" },
];
const SIDE_PX = 16;

export function lookOf(index: number, known: KnownClass): Look {
  const look = LOOKS[index % LOOKS.length] ?? { dash: null, hatch: null };
  return known.kind === "line" ? { ...look, hatch: null } : look;
}

const inHatch: Record<Hatch, (x: number, y: number) => boolean> = {
  diagonal: (x, y) => (x + y) % 8 < 2,
  dots: (x, y) => x % 8 < 3 && (y + (x >= 8 ? 4 : 0)) % 8 < 3,
  level: (_, y) => y % 6 < 2,
  cross: (x, y) => x % 8 < 1 || y % 8 < 1,
};

/** The pixels of a hatch, transparent between its strokes. */
export function hatchImage(
  hatch: Hatch | null,
  color: string,
): { width: number; height: number; data: Uint8Array } {
  const rgb = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
  const data = new Uint8Array(SIDE_PX * SIDE_PX * 4);
  for (let at = 0; at < SIDE_PX * SIDE_PX; at += 1) {
    const stroke = hatch !== null && inHatch[hatch](at % SIDE_PX, Math.floor(at / SIDE_PX));
    // Colour goes into MapLibre multiplied by its opacity already.
    data.set([...rgb.map((part) => part * (stroke ? 0.62 : 0.1)), stroke ? 158 : 26].map(Math.round), at * 4);
  }
  return { width: SIDE_PX, height: SIDE_PX, data };
}
