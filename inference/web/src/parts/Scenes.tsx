/** The scenes of the site; one of them can be looked at alone. */
import { scenes } from "../archive";
import type { Scene } from "../contract";
import { fit } from "../map/map";
import { look, view } from "../view";
import { count, many } from "../words";

export function show(scene: Scene): void {
  look({ scene: scene.id, area: null, selected: null });
  fit(scene.bounds, 22);
}

function facts(scene: Scene): string {
  const size = `${scene.gsd_m.toFixed(2)} m, ${scene.km2 < 10 ? scene.km2.toFixed(1) : count(Math.round(scene.km2))} km²`;
  const found = scene.scored ? many(scene.detections, "detection") : "not scored";
  return [scene.sensor, size, found, scene.frame === "px" ? "no georeference" : null]
    .filter(Boolean)
    .join(" · ");
}

function Item({ scene }: { scene: Scene }) {
  const chosen = view.value.scene === scene.id;
  return (
    <li>
      <button
        type="button"
        class="item"
        aria-pressed={chosen}
        onClick={() => (chosen ? look({ scene: null }) : show(scene))}
      >
        <strong>{scene.acquired?.slice(0, 10) ?? "no date"}</strong>
        <span class="id">{scene.id.slice(0, 16)}</span>
        <span class="quiet facts">{facts(scene)}</span>
      </button>
    </li>
  );
}

export function Scenes() {
  return (
    <>
      <p class="hint">A scene that is chosen is shown alone, with what was found in it.</p>
      <ul class="items" aria-label="Scenes">
        {scenes.value.map((scene) => (
          <Item key={scene.id} scene={scene} />
        ))}
      </ul>
      <p class="foot">{many(scenes.value.length, "scene")}</p>
    </>
  );
}
