/** The line above all: which site, which tab, how to get a link, who one is. */
import { me, site, sites } from "../archive";
import { forget, key } from "../key";
import { helpOpen } from "../keyboard";
import { fit, goHome } from "../map/map";
import { say } from "../say";
import { look, view } from "../view";
import { many } from "../words";

function choose(id: string): void {
  const chosen = sites.peek().find((known) => known.id === id);
  look({
    site: chosen?.id ?? null,
    date: chosen?.dates.at(-1) ?? null,
    scene: null,
    area: null,
    selected: null,
  });
  if (chosen?.bounds) fit(chosen.bounds);
  else if (!chosen) goHome();
}

async function copyLink(): Promise<void> {
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link to this view is copied.");
  } catch {
    say("The browser does not let us copy: the address line is the link to this view.", true);
  }
}

function Sites() {
  return (
    <label class="field-line">
      <span>Site</span>
      <select id="site" value={view.value.site ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="">All sites</option>
        {sites.value.map((known) => (
          <option key={known.id} value={known.id}>
            {known.name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Holds() {
  const known = site.value;
  const scenes = known ? known.scenes : sites.value.reduce((sum, one) => sum + one.scenes, 0);
  const found = known ? known.detections : sites.value.reduce((sum, one) => sum + one.detections, 0);
  return <span class="quiet">{`${many(scenes, "scene")} · ${many(found, "detection")}`}</span>;
}

export function Top() {
  return (
    <header class="top">
      <h1>
        <img src="icon.svg" alt="" width="22" height="22" />
        pithead
      </h1>
      <Sites />
      <Holds />
      <span class="gap" />
      <button type="button" class="plain" onClick={() => void copyLink()}>
        Copy link
      </button>
      <button type="button" class="plain" onClick={() => (helpOpen.value = true)}>
        Keys and settings <kbd>?</kbd>
      </button>
      <span class="who" title={`Role: ${me.value?.role ?? "unknown"}`}>
        {me.value?.name ?? ""}
      </span>
      {key.value !== null && (
        <button type="button" class="plain" onClick={forget}>
          Leave
        </button>
      )}
    </header>
  );
}
