/** What the server has: who we are, the classes, sites, and the scenes of the chosen site and date. */
import { computed, signal } from "@preact/signals";
import { fetchMe, fetchModels, fetchScene, fetchScenes, fetchSites, type Query } from "./client";
import type { Me, Model, ObjectClass, Scene, Site } from "./contract";
import { view } from "./view";

const SCENES_PAGE = 1000;
const MOST_SCENES = 10_000;
const UNKNOWN = "#ffffff"; // the colour of a class that no card has one for

export const me = signal<Me | null>(null);
export const models = signal<Model[]>([]);
export const sites = signal<Site[]>([]);
export const scenes = signal<Scene[]>([]);

export interface KnownClass extends ObjectClass {
  color: string;
}

/** Every class once, those of the weights that are served first. */
export const classes = computed<KnownClass[]>(() => {
  const all = models.value
    .toSorted((a, b) => Number(b.serving) - Number(a.serving))
    .flatMap((one) => one.classes);
  const first = new Map(all.toReversed().map((known) => [known.name, known]));
  const names = [...new Set(all.map((known) => known.name))];
  return names.map((name) => ({
    kind: null,
    ...first.get(name),
    name,
    color: first.get(name)?.color ?? UNKNOWN,
  }));
});

export const site = computed(() => sites.value.find((known) => known.id === view.value.site) ?? null);
export const scene = computed(() => scenes.value.find((known) => known.id === view.value.scene) ?? null);
export const mayReview = computed(() => me.value !== null && me.value.role !== "submit");

export async function loadArchive(): Promise<void> {
  [me.value, models.value, sites.value] = await Promise.all([fetchMe(), fetchModels(), fetchSites()]);
}

let asked: AbortController | undefined;

/** Every scene of the site; the one of a link comes along even when it is of another. */
export async function loadScenes(): Promise<void> {
  asked?.abort();
  asked = new AbortController();
  const { site: chosen, scene: single } = view.peek();
  const query: Query = { limit: SCENES_PAGE, ...(chosen ? { site: chosen } : {}) };
  const found: Scene[] = [];
  let next: string | null = null;
  do {
    const page = await fetchScenes(next === null ? query : { ...query, cursor: next }, asked.signal);
    found.push(...page.scenes);
    next = page.next;
  } while (next !== null && found.length < MOST_SCENES);
  if (single && !found.some((known) => known.id === single)) found.push(await fetchScene(single));
  scenes.value = found;
}

// What else changes in the view leaves the scenes alone.
const chosenScene = computed(() => view.value.scene);
const chosenDate = computed(() => view.value.date);

/** Those of them that the map shows. */
export const shownScenes = computed(() => {
  const single = chosenScene.value;
  const date = chosenDate.value;
  if (single !== null) return scenes.value.filter((known) => known.id === single);
  return scenes.value.filter(
    ({ frame, acquired }) => frame === "lonlat" && (date === null || acquired?.startsWith(date)),
  );
});
