import type { CliContext } from './context.ts';

/** Nothing is shown to who waits less than this, or sees something else happen. */
const QUIET_MS = 1000;
const INTERVAL_MS = 200;
const ERASE_LINE = '\r\x1b[K';

/** A line on standard error that says how far a command is, for a person at a terminal. With `--json` there is none. */
export class Progress {
  readonly #context: CliContext;
  readonly #what: string;
  readonly #isShown: boolean;
  #quietSinceMs: number;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #isOnScreen = false;

  /** @param what is done, such as `reading WAL` */
  constructor(context: CliContext, what: string) {
    this.#context = context;
    this.#what = what;
    this.#isShown = context.diagnostics.isTerminal && !context.isJson;
    this.#quietSinceMs = context.diagnostics.nowMs();
  }

  report(doneBytes: number, totalBytes: number): void {
    if (!this.#isShown) return;
    const { diagnostics } = this.#context;
    const nowMs = diagnostics.nowMs();
    if (nowMs - this.#quietSinceMs < QUIET_MS || nowMs - this.#shownAtMs < INTERVAL_MS) return;
    this.#shownAtMs = nowMs;
    this.#isOnScreen = true;
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * doneBytes) / totalBytes);
    diagnostics.write(`${ERASE_LINE}${this.#what}: ${percent} % of ${formatBytes(totalBytes)}`);
  }

  /** Takes the line away. To be called before anything else is written and at the end. */
  clear(): void {
    if (this.#isOnScreen) this.#context.diagnostics.write(ERASE_LINE);
    this.#isOnScreen = false;
    // Who sees the result appear needs no second sign of life.
    if (this.#context.output.isTerminal) this.#quietSinceMs = this.#context.diagnostics.nowMs();
  }
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
