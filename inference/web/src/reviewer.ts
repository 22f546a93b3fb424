/** The name that reviews bear where the server knows nobody by a key. */
import { signal } from "@preact/signals";

const NAME = "pithead-reviewer";

export const reviewer = signal(sessionStorage.getItem(NAME) ?? "");

export function sign(name: string): void {
  sessionStorage.setItem(NAME, name.trim());
  reviewer.value = name.trim();
}
