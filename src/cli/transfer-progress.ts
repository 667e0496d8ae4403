import type { CliContext } from './context.ts';
import { formatBytes } from './progress.ts';

/** Nothing is shown to who waits less than this. */
const QUIET_MS = 500;
const INTERVAL_MS = 200;
const BAR_CHARACTERS = 20;
const ERASE_LINE = '\r\x1b[K';

interface Copied {
  readonly rows: number;
  readonly bytes: number;
  readonly part: number | undefined;
  readonly table: string;
}

/** A line on standard error that says how far an import or an export is, for a person at a terminal. */
export class TransferProgress {
  readonly #context: CliContext;
  readonly #isShown: boolean;
  readonly #beganAtMs: number;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #isOnScreen = false;
  #step = '';

  constructor(context: CliContext) {
    this.#context = context;
    this.#isShown = context.diagnostics.isTerminal && !context.isJson;
    this.#beganAtMs = context.diagnostics.nowMs();
  }

  onStep(step: string): void {
    if (step === this.#step) return;
    this.#step = step;
    this.#show(`${step} …`, true);
  }

  onCopied({ rows, bytes, part, table }: Copied): void {
    const bar = part === undefined ? '' : `${barOf(part)} ${Math.floor(part * 100)} % `;
    const seconds = (this.#context.diagnostics.nowMs() - this.#beganAtMs) / 1000;
    const rate = seconds < 1 ? '' : `, ${formatBytes(bytes / seconds)}/s`;
    this.#show(`${bar}${formatBytes(bytes)}, ${rows.toLocaleString('en')} rows${rate} · ${table}`, false);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isOnScreen) this.#context.diagnostics.write(ERASE_LINE);
    this.#isOnScreen = false;
  }

  #show(text: string, isNew: boolean): void {
    const nowMs = this.#context.diagnostics.nowMs();
    if (!this.#isShown || nowMs - this.#beganAtMs < QUIET_MS) return;
    if (!isNew && nowMs - this.#shownAtMs < INTERVAL_MS) return;
    this.#shownAtMs = nowMs;
    this.#isOnScreen = true;
    // A line that is too long for the terminal could not be erased; names may have characters that move the cursor.
    this.#context.diagnostics.write(`${ERASE_LINE}${text.replaceAll(/\p{Cc}/gu, '?').slice(0, 79)}`);
  }
}

function barOf(part: number): string {
  const full = Math.round(part * BAR_CHARACTERS);
  return `${'█'.repeat(full)}${'░'.repeat(BAR_CHARACTERS - full)}`;
}
