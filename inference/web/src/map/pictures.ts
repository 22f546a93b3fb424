/** Tiles of pictures that the server may have to make small first: it is asked again when it said that it may be. */
import { signal } from "@preact/signals";
import { AJAXError, addProtocol, config } from "maplibre-gl";
import { headers } from "../client";
import { say } from "../say";

const PROTOCOL = "picture";
const AGAIN_S = 3;
const LONGEST_PAUSE_S = 30;
const PATIENCE_MS = 900_000; // the server gives up after 600 s, and others may come first
const TILES_AT_ONCE = 512; // of all scenes that are shown: those that wait must keep none of another scene back

/** How many tiles wait for their picture to be made. */
export const waiting = signal(0);

/** Who asks for a picture that is being made: one tile for all of it, the others wait for that one. */
const asking = new Map<string, Promise<void>>();

/** The address of the tiles of a picture, for MapLibre. */
export const tilesOf = (path: string) => `${PROTOCOL}://${path}/{z}/{x}/{y}.png`;

/** In how many milliseconds to ask again; null where that is of no use. */
function pauseOf(response: Response): number | null {
  const told = response.headers.get("Retry-After");
  if (response.status !== 503 || told === null) return null;
  return Math.min(Math.max(Number(told) || AGAIN_S, 1), LONGEST_PAUSE_S) * 1000;
}

/** Wait for something, but no longer than the tile is wanted. */
function unless<T>(stop: AbortSignal, something: Promise<T> | undefined): Promise<T | undefined> {
  stop.throwIfAborted();
  return new Promise((resolve, reject) => {
    const end = () => reject(stop.reason);
    stop.addEventListener("abort", end, { once: true });
    void Promise.resolve(something)
      .then(resolve, reject)
      .finally(() => stop.removeEventListener("abort", end));
  });
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** The answer once the picture is made, or the last one when patience is at its end. */
async function answer(path: string, stop: AbortSignal): Promise<Response> {
  const picture = path.split("/").slice(0, -3).join("/");
  const end = performance.now() + PATIENCE_MS;
  let counted = 0;
  let release: (() => void) | undefined;
  const count = () => {
    waiting.value += 1 - counted;
    counted = 1;
  };
  try {
    for (;;) {
      if (!release && asking.has(picture)) {
        count();
        await unless(stop, asking.get(picture));
      }
      // Low: what the list and the panel ask for goes first.
      const response = await fetch(path, { headers: headers(), signal: stop, priority: "low" });
      const ms = pauseOf(response);
      if (ms === null || performance.now() + ms > end) return response;
      count();
      if (!release && asking.has(picture)) continue;
      if (!release) asking.set(picture, new Promise((resolve) => (release = resolve)));
      await unless(stop, pause(ms));
    }
  } finally {
    waiting.value -= counted;
    if (release) asking.delete(picture);
    release?.();
  }
}

/** Let MapLibre have its tiles through here. */
export function serveTiles(): void {
  config.MAX_PARALLEL_IMAGE_REQUESTS = TILES_AT_ONCE;
  config.MAX_PARALLEL_IMAGE_REQUESTS_PER_FRAME = TILES_AT_ONCE;
  addProtocol(PROTOCOL, async ({ url }, { signal }) => {
    const response = await answer(url.slice(`${PROTOCOL}://`.length), signal);
    if (pauseOf(response) !== null) say("The picture is not made yet; reload the page to ask again.", true);
    if (!response.ok)
      throw new AJAXError(response.status, response.statusText, response.url, await response.blob());
    return {
      data: await response.arrayBuffer(), // of 204 it is empty, as the tile is
      cacheControl: response.headers.get("Cache-Control"),
      expires: response.headers.get("Expires"),
    };
  });
}
