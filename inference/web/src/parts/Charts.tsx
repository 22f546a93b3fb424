/** A chart for each quantity, and on which dates signs hold; the date of the map is chosen in any of them. */
import { Dates, HEIGHT, PLOT, runs, topOf, WIDTH, yOf } from "../chart";
import type { Measure, Quantity, Rule, Sign, SiteHistory } from "../contract";
import { goToDate } from "../history";
import { view } from "../view";
import { amount, figure, thing, title } from "../words";

type Reasons = SiteHistory["reasons"];

const because = (reason: string | null, reasons: Reasons) => (reason && (reasons[reason] ?? reason)) || "";

const found = (one: Measure, unit: string) => `found ${figure(one.raw, unit)}`;

/** The corrected figure with its interval; nothing where it cannot be said. */
function corrected({ value, low, high }: Measure, unit: string): string | null {
  if (value === null) return null;
  const within = low === null || high === null ? "" : ` (${figure(low, unit)} – ${figure(high, unit)})`;
  return amount(value, unit) + within;
}

/** A measure in words. */
function inWords(one: Measure, unit: string, reasons: Reasons): string {
  const said = corrected(one, unit) ?? `not observable: ${because(one.reason, reasons)}`;
  return `${said}; ${found(one, unit)}`;
}

function step(event: KeyboardEvent, days: readonly string[]): void {
  const here = days.indexOf(view.peek().date ?? "");
  const to = {
    ArrowRight: here + 1,
    ArrowUp: here + 1,
    ArrowLeft: here < 0 ? days.length - 1 : Math.max(here - 1, 0),
    ArrowDown: here < 0 ? days.length - 1 : Math.max(here - 1, 0),
    Home: 0,
    End: days.length - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const day = days[Math.min(to, days.length - 1)];
  if (day) goToDate(day);
}

function press(event: PointerEvent, dates: Dates): void {
  if (!(event.currentTarget instanceof Element) || (event.type === "pointermove" && event.buttons === 0))
    return;
  const box = event.currentTarget.getBoundingClientRect();
  const day = dates.nearest(((event.clientX - box.left) / box.width) * WIDTH);
  if (day && day !== view.peek().date) goToDate(day);
}

function Gap({ one, dates, reasons }: { one: Measure; dates: Dates; reasons: Reasons }) {
  return (
    <rect fill="url(#gap)" x={dates.x(one.date) - 5} y={PLOT.top} width="10" height={PLOT.bottom - PLOT.top}>
      <title>{`${one.date}: not observable, ${because(one.reason, reasons)}`}</title>
    </rect>
  );
}

function Mark({ one, dates, top, unit }: { one: Measure; dates: Dates; top: number; unit: string }) {
  const [x, raw] = [dates.x(one.date), yOf(one.raw, top)];
  const diamond = <path class="raw" d={`M${x},${raw - 3.5} l3.5,3.5 l-3.5,3.5 l-3.5,-3.5 z`} />;
  // Nothing found where nothing could be seen is no zero.
  if (one.value === null || one.low === null || one.high === null) return one.raw > 0 ? diamond : null;
  const [low, high] = [yOf(one.low, top), yOf(one.high, top)];
  return (
    <g>
      <title>{`${one.date}: ${corrected(one, unit)}; ${found(one, unit)}`}</title>
      <path class="interval" d={`M${x - 3.5},${low} h7 M${x - 3.5},${high} h7 M${x},${low} V${high}`} />
      {diamond}
      <circle class="value" cx={x} cy={yOf(one.value, top)} r="3" />
    </g>
  );
}

function Now({
  dates,
  top = PLOT.top,
  bottom = PLOT.bottom,
}: {
  dates: Dates;
  top?: number;
  bottom?: number;
}) {
  const { date } = view.value;
  if (date === null || !dates.holds(date)) return null;
  return <line class="now-line" x1={dates.x(date)} x2={dates.x(date)} y1={top - 2} y2={bottom + 2} />;
}

function Plot({ quantity, dates, reasons }: { quantity: Quantity; dates: Dates; reasons: Reasons }) {
  const { measures, unit } = quantity;
  const top = topOf(measures);
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} aria-hidden="true">
      <path
        class="axis"
        d={`M${PLOT.left},${PLOT.top} H${PLOT.right} M${PLOT.left},${PLOT.bottom} H${PLOT.right}`}
      />
      <text x={PLOT.left - 5} y={PLOT.top + 6} text-anchor="end">
        {figure(top, unit)}
      </text>
      <text x={PLOT.left - 5} y={PLOT.bottom + 2} text-anchor="end">
        0
      </text>
      {measures.map(
        (one) => !one.observable && <Gap key={one.view} one={one} dates={dates} reasons={reasons} />,
      )}
      <Now dates={dates} />
      {runs(measures, dates, top).map((run) => (
        <polyline key={run} class="course" points={run} />
      ))}
      {measures.map((one) => (
        <Mark key={one.view} one={one} dates={dates} top={top} unit={unit} />
      ))}
    </svg>
  );
}

function Unseen({ children }: { children: string }) {
  return (
    <>
      <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
        <rect fill="url(#gap)" width="10" height="10" />
      </svg>
      <span class="unseen">not observable: </span>
      {` ${children}`}
    </>
  );
}

/** What the chart says of the date of the map; several scenes may have one day, and each has its say. */
function Here({ quantity, reasons }: { quantity: Quantity; reasons: Reasons }) {
  const { date } = view.value;
  const some = quantity.measures.filter((one) => one.date === date);
  const { unit } = quantity;
  if (some.length === 0) {
    return (
      <p class="told quiet">{date === null ? "no date is chosen" : "no scene of this date is told of"}</p>
    );
  }
  return (
    <>
      <span class="found quiet">{some.map((one) => found(one, unit)).join("; ")}</span>
      {some.map((one) => (
        <p key={one.view} class={one.observable ? "told" : "told quiet"}>
          {corrected(one, unit) ?? <Unseen>{because(one.reason, reasons)}</Unseen>}
        </p>
      ))}
    </>
  );
}

function valueText({ measures, unit }: Quantity, reasons: Reasons): string {
  const { date } = view.value;
  const some = measures.filter((one) => one.date === date).map((one) => inWords(one, unit, reasons));
  return date === null ? "no date is chosen" : `${date}: ${some.join("; ") || "nothing is told of it"}`;
}

function Chart({ quantity, dates, reasons }: { quantity: Quantity; dates: Dates; reasons: Reasons }) {
  const here = dates.days.indexOf(view.value.date ?? "");
  return (
    <div class="chart">
      <h3 id={`chart-${quantity.name}`}>{thing(quantity.name)}</h3>
      <Here quantity={quantity} reasons={reasons} />
      <div
        class="plot"
        role="slider"
        tabIndex={0}
        aria-labelledby={`chart-${quantity.name}`}
        aria-valuemin={0}
        aria-valuemax={Math.max(dates.days.length - 1, 0)}
        aria-valuenow={Math.max(here, 0)}
        aria-valuetext={valueText(quantity, reasons)}
        onKeyDown={(event) => step(event, dates.days)}
        onPointerDown={(event) => press(event, dates)}
        onPointerMove={(event) => press(event, dates)}
      >
        <Plot quantity={quantity} dates={dates} reasons={reasons} />
      </div>
    </div>
  );
}

function Hatch() {
  return (
    <svg class="unseen" aria-hidden="true">
      <pattern id="gap" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width="5" height="5" fill="#1b242d" />
        <line x1="0" y1="0" x2="0" y2="5" stroke="#7d8fa3" stroke-width="2" />
      </pattern>
    </svg>
  );
}

function Legend() {
  return (
    <p class="legend">
      <svg viewBox="0 0 12 14" width="12" height="14" aria-hidden="true">
        <path class="interval" d="M2.5,1 h7 M2.5,13 h7 M6,1 V13" />
        <circle class="value" cx="6" cy="7" r="3" />
      </svg>
      corrected, 95 %
      <svg viewBox="0 0 12 14" width="12" height="14" aria-hidden="true">
        <path class="raw" d="M6,3.500 l3.5,3.5 l-3.5,3.5 l-3.5,-3.5 z" />
      </svg>
      found
      <svg viewBox="0 0 12 14" width="12" height="14" aria-hidden="true">
        <rect fill="url(#gap)" x="1" width="10" height="14" />
      </svg>
      not observable
    </p>
  );
}

function Axis({ dates }: { dates: Dates }) {
  const ticks = dates.ticks();
  const anchor = (at: number) => (ticks.length > 2 ? "middle" : at === 0 ? "start" : "end");
  return (
    <svg class="dates-axis" viewBox={`0 0 ${WIDTH} 18`} width={WIDTH} height="18" aria-hidden="true">
      {ticks.map(({ x, text }, at) => (
        <g key={text}>
          <path class="axis" d={`M${x},0 v4`} />
          <text x={x} y="14" text-anchor={anchor(at)}>
            {text}
          </text>
        </g>
      ))}
    </svg>
  );
}

const MIDDLE = 8;

function SignMark({ one, dates }: { one: Sign; dates: Dates }) {
  const x = dates.x(one.date);
  if (one.holds === null) return <rect fill="url(#gap)" x={x - 5} y={MIDDLE - 6} width="10" height="12" />;
  return <circle class={one.holds ? "value" : "no"} cx={x} cy={MIDDLE} r="4" />;
}

const says = (holds: boolean | null) =>
  holds === null ? "cannot be said" : holds ? "holds" : "does not hold";

function SignRow({ rule, of, dates }: { rule: Rule; of: SiteHistory; dates: Dates }) {
  const signs = of.signs.filter((one) => one.rule === rule.name);
  const now = signs.filter((one) => one.date === view.value.date);
  const why = (one: Sign) => (one.holds === null ? `: ${because(one.reason, of.reasons)}` : "");
  const all = signs.map((one) => `${one.date} ${says(one.holds)}${why(one)}`).join("; ");
  const unsaid = now.filter((one) => one.holds === null);
  return (
    <div class="chart">
      <h3 title={rule.means}>{`Sign: ${title(rule.name)}`}</h3>
      <span class="found quiet">{now.map((one) => says(one.holds)).join("; ")}</span>
      {unsaid.map((one) => (
        <p key={one.view} class="told quiet">
          <Unseen>{because(one.reason, of.reasons)}</Unseen>
        </p>
      ))}
      <svg
        viewBox={`0 0 ${WIDTH} 16`}
        width={WIDTH}
        height="16"
        role="img"
        aria-label={`${rule.means} ${all}`}
      >
        <Now dates={dates} top={2} bottom={14} />
        {signs.map((one) => (
          <SignMark key={one.view} one={one} dates={dates} />
        ))}
      </svg>
    </div>
  );
}

export function Charts({ of }: { of: SiteHistory }) {
  const dates = new Dates(of.views);
  return (
    <>
      <Legend />
      <div class="charts">
        <Hatch />
        {of.quantities.map((quantity) => (
          <Chart key={quantity.name} quantity={quantity} dates={dates} reasons={of.reasons} />
        ))}
        {of.rules.map((rule) => (
          <SignRow key={rule.name} rule={rule} of={of} dates={dates} />
        ))}
      </div>
      <Axis dates={dates} />
    </>
  );
}
