/** The facts of a detection: measures, where it comes from, and what was said of it. */
import type { ComponentChildren } from "preact";
import type { DetectionDetail, Fact, Facts, Review } from "../contract";
import { area, metres, moment, STATES, title } from "../words";

function Row({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

const MEASURES = { probability: "probability", threshold: "distance from the threshold" };

const short = (hash: string | null) => hash?.slice(0, 12) ?? "none";

function middle({ frame, centre_lat, centre_lon }: Facts): string {
  if (frame === "px") return "in a scene without georeference";
  return centre_lat === null || centre_lon === null
    ? "unknown"
    : `${centre_lat.toFixed(5)}, ${centre_lon.toFixed(5)}`;
}

export function Known({ of }: { of: DetectionDetail }) {
  const { properties: facts } = of;
  return (
    <dl class="known">
      {facts.length_m !== null && <Row name="Length">{`${metres(facts.length_m)} m`}</Row>}
      {facts.width_m !== null && <Row name="Width">{`${metres(facts.width_m)} m`}</Row>}
      {facts.area_m2 !== null && <Row name="Area">{area(facts.area_m2)}</Row>}
      {facts.enclosed_area_m2 !== null && <Row name="Encloses">{area(facts.enclosed_area_m2)}</Row>}
      <Row name="Uncertainty">{`${facts.uncertainty.toFixed(2)}, by its ${MEASURES[facts.uncertainty_by]}`}</Row>
      {facts.cut && <Row name="Cut">by the edge of the scene</Row>}
      {facts.class !== facts.class_now && <Row name="Model said">{title(facts.class)}</Row>}
      <Row name="Site">{facts.site ?? "none"}</Row>
      <Row name="Taken">{facts.acquired?.slice(0, 10) ?? "no date"}</Row>
      <Row name="Middle">{middle(facts)}</Row>
    </dl>
  );
}

function Said({ review }: { review: Review }) {
  const { decision, class: name, reviewer, time, note } = review;
  return (
    <li>
      {`${STATES[decision] ?? decision}${name ? ` to ${title(name)}` : ""} by ${reviewer}`}
      <span class="quiet">{` · ${moment(time)}`}</span>
      {note && <q>{note}</q>}
    </li>
  );
}

export function History({ of }: { of: DetectionDetail }) {
  return (
    <section>
      <h3>History</h3>
      {of.reviews.length === 0 ? (
        <p class="quiet">Nobody has spoken of it yet.</p>
      ) : (
        <ol class="history">
          {of.reviews.toReversed().map((review) => (
            <Said key={`${review.time} ${review.decision}`} review={review} />
          ))}
        </ol>
      )}
    </section>
  );
}

const isHash = (value: Fact) => typeof value === "string" && /^[0-9a-f]{40,}$/.test(value);

function Value({ value }: { value: Fact }) {
  if (typeof value === "string" && isHash(value)) return <code title={value}>{short(value)}</code>;
  return <>{typeof value === "number" ? Number(value.toPrecision(6)) : moment(String(value))}</>;
}

/** Facts within facts one after the other, with the name of the whole before; lists are too long for here. */
function flat(facts: Record<string, Fact>, whole = ""): [string, Fact][] {
  return Object.entries(facts).flatMap(([name, value]): [string, Fact][] => {
    if (Array.isArray(value) || value === null) return [];
    return typeof value === "object" ? flat(value, `${name}: `) : [[whole + name, value]];
  });
}

export function Provenance({ of }: { of: DetectionDetail }) {
  const { properties: facts, provenance } = of;
  const { log } = provenance;
  const said = new Map<string, Fact>([
    ["model", facts.weights],
    ["weights_sha256", facts.weights_sha256],
    ["scene", facts.scene],
    ["scene_sha256", facts.scene_sha256],
    ["detection", of.id],
    ["record of the log", log && `${log.seq}, ${moment(log.time)}`],
    ["log_sha256", log?.hash ?? null],
  ]);
  for (const [name, value] of flat(provenance.run)) if (!said.has(name)) said.set(name, value);
  return (
    <section>
      <h3>Provenance</h3>
      <dl class="known">
        {[...said].map(([name, value]) => (
          <Row key={name} name={title(name).replace(" sha256", " hash")}>
            <Value value={value ?? "none"} />
          </Row>
        ))}
      </dl>
    </section>
  );
}
