/** Say of the chosen detection whether it is right. */
import { signal } from "@preact/signals";
import { mayReview, me } from "./archive";
import { fetchDetection, giveReview, told } from "./client";
import type { Decision, Detection, ReviewGiven, Shape } from "./contract";
import { outdate } from "./history";
import { changed } from "./map/finds";
import { detail, hasMore, items, loadDetail, loadMore, replace, select } from "./queue";
import { reviewer } from "./reviewer";
import { say } from "./say";
import { view } from "./view";
import { STATES, title } from "./words";

/** What goes with the next decision of one detection. */
export const note = signal({ of: "", text: "" });

/** Go to the next one that nobody has spoken of; whether there is one. */
async function goOn(from: string): Promise<boolean> {
  for (;;) {
    const rows = items.peek();
    const here = rows.findIndex((item) => item.id === from);
    const next = rows.slice(here + 1).find((item) => item.properties.review === null);
    if (next) select(next.id);
    if (next || !hasMore.peek()) return next !== undefined;
    await loadMore();
    if (items.peek().length === rows.length) return false; // the server gave nothing, and has said why
  }
}

function message(detection: string, decision: Decision, more: Omit<ReviewGiven, "decision">): ReviewGiven {
  const given: ReviewGiven = { decision, ...more };
  const { value } = reviewer;
  if (me.peek()?.open && value) given.reviewer = value;
  const written = note.peek();
  if (written.of === detection && written.text.trim()) given.note = written.text.trim();
  return given;
}

async function give(decision: Decision, said: Omit<ReviewGiven, "decision">): Promise<void> {
  const detection = view.peek().selected;
  if (detection === null) {
    say("Choose a detection first: J goes to the next one.");
    return;
  }
  if (detail.peek()?.id !== detection) {
    say("It is not shown yet: nothing was decided.");
    return;
  }
  if (!mayReview.peek()) {
    say("Your key may look, not review.", true);
    return;
  }
  try {
    await giveReview(detection, message(detection, decision, said));
    const now: Detection = await fetchDetection(detection);
    note.value = { of: "", text: "" };
    replace(now);
    changed(now);
    outdate();
    const what = `${STATES[decision] ?? decision}: ${title(now.properties.class_now)}`;
    const more = decision === "redraw" || (await goOn(detection));
    say(more ? what : `${what}. Nothing after it waits for a review.`);
    if (view.peek().selected === detection) await loadDetail();
  } catch (error) {
    say(told(error), true);
  }
}

export const accept = () => give("accept", {});
export const reject = () => give("reject", {});
export const redraw = (geometry: Shape) => give("redraw", { geometry });

export async function relabel(name: string): Promise<void> {
  if (detail.peek()?.properties.class === name) say(`It is ${title(name)} already; A accepts it.`);
  else await give("relabel", { class: name });
}
