/** What was said of a detection, as one sign: told apart by form, not by colour alone. */
import type { Review } from "../contract";
import { stateOf, stateWord } from "../words";

const FORMS: Record<string, string> = {
  accept: "m3 7.5 3 3 5-6.5",
  reject: "m3.5 3.5 7 7m0-7-7 7",
  relabel: "M2.5 4h6l3 3-3 3h-6z",
  redraw: "m3 11 .6-2.6 5.6-5.6 2 2L5.600 10.400z",
};

export function StateMark({ review }: { review: Review | null }) {
  const state = stateOf(review);
  return (
    <svg class={`mark mark-${state}`} viewBox="0 0 14 14" role="img" aria-label={stateWord(review)}>
      {state === "unreviewed" ? <circle cx="7" cy="7" r="1.800" /> : <path d={FORMS[state]} />}
    </svg>
  );
}
