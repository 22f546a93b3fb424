/** A class as it looks on the map: colour, dash and hatch. */
import { classes } from "../archive";
import { type Hatch, lookOf } from "../map/patterns";

const STROKES: Record<Hatch, string> = {
  diagonal: "M2 9 9 2M5 12 12 5",
  dots: "M5 5h.1M9 9h.1M9 5h.1M5 9h.1",
  level: "M3 5h8M3 9h8",
  cross: "M7 2v10M2 7h10",
};

export function Swatch({ name }: { name: string }) {
  const index = classes.value.findIndex((known) => known.name === name);
  const known = classes.value[index];
  const color = known?.color ?? "#ffffff";
  const look = known ? lookOf(index, known) : { dash: null, hatch: null };
  const dash = look.dash?.map((length) => length * 1.6).join(" ");
  return (
    <svg class="swatch" viewBox="0 0 14 14" aria-hidden="true">
      {known?.kind === "line" ? (
        <path d="M1 12 5 3l4 7 4-8" fill="none" stroke={color} stroke-width="2" stroke-dasharray={dash} />
      ) : (
        <rect
          x="1"
          y="1"
          width="12"
          height="12"
          fill={color}
          fill-opacity="0.16"
          stroke={color}
          stroke-width="1.8"
          stroke-dasharray={dash}
        />
      )}
      {look.hatch && (
        <path d={STROKES[look.hatch]} fill="none" stroke={color} stroke-width="1.4" stroke-linecap="round" />
      )}
    </svg>
  );
}
