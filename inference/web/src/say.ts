/** One line for whoever does not look at the map: read out by screen readers, and shown for a while. */
import { signal } from "@preact/signals";

export const said = signal<{ text: string; bad: boolean }>({ text: "", bad: false });

let quiet: ReturnType<typeof setTimeout> | undefined;

export function say(text: string, bad = false): void {
  said.value = { text, bad };
  clearTimeout(quiet);
  quiet = setTimeout(
    () => {
      said.value = { text: "", bad: false };
    },
    bad ? 12_000 : 5_000,
  );
}
