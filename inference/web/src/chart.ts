/** From dates and values to places in a chart of a quantity; all charts of a site share their dates. */
import type { Glance, Measure } from "./contract";

export const WIDTH = 334;
export const HEIGHT = 62;
const LEFT = 46;
const RIGHT = 6;
const TOP = 5;
const BOTTOM = 5;
const EDGE = 8;
const YEARS_AT_MOST = 7;
const DAY_MS = 86_400_000;

export const PLOT = { left: LEFT, right: WIDTH - RIGHT, top: TOP, bottom: HEIGHT - BOTTOM };

export class Dates {
  readonly #first: number;
  readonly #last: number;
  readonly days: readonly string[];

  constructor(views: readonly Glance[]) {
    this.days = [...new Set(views.map((view) => view.date))];
    this.#first = Date.parse(this.days[0] ?? "");
    this.#last = Date.parse(this.days.at(-1) ?? "");
  }

  x(date: string): number {
    const whole = this.#last - this.#first;
    const share = whole > 0 ? (Date.parse(date) - this.#first) / whole : 0.5;
    return PLOT.left + EDGE + share * (PLOT.right - PLOT.left - 2 * EDGE);
  }

  /** Whether a date lies where the chart has room for it. */
  holds(date: string): boolean {
    return Date.parse(date) >= this.#first && Date.parse(date) <= this.#last;
  }

  nearest(x: number): string | null {
    const far = (day: string) => Math.abs(this.x(day) - x);
    return this.days.reduce<string | null>(
      (best, day) => (best === null || far(day) < far(best) ? day : best),
      null,
    );
  }

  /** What is written under the axis: years, or of a short time its ends. */
  ticks(): { x: number; text: string }[] {
    const [first, last] = [new Date(this.#first), new Date(this.#last)];
    const count = last.getUTCFullYear() - first.getUTCFullYear();
    if (count < 2 || this.#last - this.#first < 500 * DAY_MS) {
      const ends = [...new Set([this.days[0], this.days.at(-1)])];
      return ends.flatMap((day) => (day ? [{ x: this.x(day), text: day }] : []));
    }
    const every = Math.ceil(count / YEARS_AT_MOST);
    return Array.from({ length: Math.ceil(count / every) }, (_, number) => {
      const year = first.getUTCFullYear() + 1 + number * every;
      return { x: this.x(`${year}-01-01`), text: String(year) };
    });
  }
}

/** The highest value of the axis, a round one: 1, 2, 2.5 or 5 times a power of ten. */
export function topOf(measures: readonly Measure[]): number {
  const highest = Math.max(...measures.map((one) => Math.max(one.raw, one.high ?? 0)), 0);
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return power * ([1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => highest <= power * factor) ?? 10);
}

export const yOf = (value: number, top: number) => PLOT.bottom - (value / top) * (PLOT.bottom - PLOT.top);

/** Values that follow each other without a gap, as lines. */
export function runs(measures: readonly Measure[], dates: Dates, top: number): string[] {
  const found: string[][] = [[]];
  for (const { value, date } of measures) {
    if (value === null) found.push([]);
    else found.at(-1)?.push(`${dates.x(date).toFixed(1)},${yOf(value, top).toFixed(1)}`);
  }
  return found.filter((run) => run.length > 1).map((run) => run.join(" "));
}
