/** The caller's key. It lives as long as the tab does. */
import { signal } from "@preact/signals";

const NAME = "pithead-key";

export const key = signal<string | null>(sessionStorage.getItem(NAME));

/** Whether the server asked for a key that we do not have. */
export const keyWanted = signal(false);

export function remember(value: string): void {
  sessionStorage.setItem(NAME, value);
  key.value = value;
  keyWanted.value = false;
}

/** The server does not take it, or wants one. */
export function forget(): void {
  sessionStorage.removeItem(NAME);
  key.value = null;
  keyWanted.value = true;
}
