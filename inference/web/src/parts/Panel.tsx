/** All that is known of the chosen detection, and what one can say of it. */
import { useEffect, useState } from "preact/hooks";
import { mayReview } from "../archive";
import { chipPath, fetchPicture, isAbort, told } from "../client";
import type { DetectionDetail } from "../contract";
import { goTo } from "../map/map";
import { detail, select } from "../queue";
import { size, stateWord, title } from "../words";
import { Decisions } from "./Decisions";
import { History, Known, Provenance } from "./Known";
import { StateMark } from "./StateMark";
import { Swatch } from "./Swatch";

const CHIP_PX = 640;
const LATER_MS = 5000;

/** The picture around it. */
function Chip({ of }: { of: DetectionDetail }) {
  const [address, setAddress] = useState<string | null>(null);
  const [wait, setWait] = useState("the picture comes");
  useEffect(() => {
    const stop = new AbortController();
    let made: string | null = null;
    fetchPicture(chipPath(of.id, CHIP_PX), stop.signal)
      .then((fetched) => {
        made = fetched;
        setAddress(fetched);
      })
      .catch((error: unknown) => {
        if (!isAbort(error)) setWait(told(error));
      });
    return () => {
      stop.abort();
      const old = made;
      if (old) setTimeout(() => URL.revokeObjectURL(old), LATER_MS); // it may still be on its way to the screen
    };
  }, [of.id]);
  const { class_now, acquired } = of.properties;
  const words = `Image of ${title(class_now)}, ${size(of)}${acquired ? `, taken ${acquired.slice(0, 10)}` : ""}`;
  return (
    <button
      type="button"
      class="chip-picture"
      onClick={() => goTo(of.geometry)}
      title="Show it on the map (F)"
    >
      {address ? <img src={address} alt={words} /> : <span class="quiet">{wait}</span>}
    </button>
  );
}

function Score({ score }: { score: number }) {
  return (
    <span class="score-bar" style={{ "--score": score }}>
      {score.toFixed(2)}
    </span>
  );
}

function Head({ of }: { of: DetectionDetail }) {
  const { class_now, score, review } = of.properties;
  return (
    <div class="panel-head">
      <Swatch name={class_now} />
      <h2>{title(class_now)}</h2>
      <Score score={score} />
      <StateMark review={review} />
      <span class="quiet">{stateWord(review)}</span>
      <button type="button" class="plain close" aria-label="Close (Escape)" onClick={() => select(null)}>
        ×
      </button>
    </div>
  );
}

export function Panel() {
  const of = detail.value;
  if (!of) return null;
  return (
    <aside class="panel" aria-label="Chosen detection">
      <Head of={of} />
      <div class="panel-body">
        <Chip key={`${of.id} ${of.properties.review?.time}`} of={of} />
        {mayReview.value && <Decisions of={of} />}
        <Known of={of} />
        <History of={of} />
        <Provenance of={of} />
      </div>
    </aside>
  );
}
