/** The list of detections, which says in words what the map shows. */
import { useEffect, useRef } from "preact/hooks";
import type { Detection } from "../contract";
import { busy, hasMore, items, loadMore, matched, position, select, step } from "../queue";
import { filters, ofOneDate, selected, view } from "../view";
import { count, many, size, title } from "../words";
import { Filters } from "./Filters";
import { StateMark } from "./StateMark";
import { Swatch } from "./Swatch";

const NEAR_END_PX = 400;

function Row({ item }: { item: Detection }) {
  const { class_now, score, acquired, review } = item.properties;
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus, and says which option is the active one
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list listens to keys
    <div
      id={`row-${item.id}`}
      class={`row${review?.decision === "reject" ? " rejected" : ""}${ofOneDate.value ? "" : " dated"}`}
      role="option"
      aria-selected={selected.value === item.id}
      onClick={() => select(item.id)}
    >
      <Swatch name={class_now} />
      <span class="name">{title(class_now)}</span>
      <span class="figure">{score.toFixed(2)}</span>
      <span class="figure">{size(item)}</span>
      {!ofOneDate.value && <span class="figure quiet">{acquired?.slice(0, 10) ?? "no date"}</span>}
      <StateMark review={review} />
    </div>
  );
}

function onKey(event: KeyboardEvent): void {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
  if (steps === undefined) return;
  event.preventDefault();
  void step(steps);
}

function onScroll({ currentTarget: list }: { currentTarget: HTMLElement }): void {
  if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX) void loadMore();
}

function List() {
  const list = useRef<HTMLDivElement>(null);
  const chosen = position.value < 0 ? null : `row-${selected.value}`;
  useEffect(() => {
    if (chosen) document.getElementById(chosen)?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <div
      ref={list}
      id="queue"
      class="rows"
      role="listbox"
      tabIndex={0}
      aria-label="Detections"
      aria-busy={busy.value}
      {...(chosen ? { "aria-activedescendant": chosen } : {})}
      onKeyDown={onKey}
      onScroll={onScroll}
    >
      {items.value.map((item) => (
        <Row key={item.id} item={item} />
      ))}
    </div>
  );
}

/** Why the list is empty: without a scene it has only what has a place on the ground. */
function nothing(): string {
  const { site, date, scene, area } = view.value;
  const { site: _site, from: _from, to: _to, scene: _scene, ...others } = filters.value;
  if (Object.keys(others).length > 0 || area) return "Nothing passes these filters.";
  if (site || date || scene) return "No detections here.";
  return "No detections. Those in a scene without georeference are listed once it is chosen.";
}

function told(): string {
  if (matched.value === null) return "";
  return matched.value === 0 && !busy.value ? nothing() : many(matched.value, "detection");
}

function Foot() {
  const here = position.value;
  const loaded = items.value.length;
  return (
    <p class="foot">
      {told()}
      {here >= 0 && `, number ${count(here + 1)} chosen`}
      {hasMore.value && <span class="quiet">{` · ${count(loaded)} listed`}</span>}
    </p>
  );
}

export function Queue() {
  return (
    <>
      <Filters />
      <List />
      <Foot />
    </>
  );
}
