import type { CliContext } from './context.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** A step that takes less is over before anybody has read its name. */
const QUIET_MS = 200;
/** Where nobody sees a line change, it is said of a step that takes longer that it goes on. */
const PATIENCE_MS = 1000;
const ERASE_LINE = '\r\x1b[K';
const GREEN = '\x1b[32m';
const DIM = '\x1b[2m';
const PLAIN = '\x1b[0m';

/** Shows the steps of a start on standard error: at a terminal as they go on, elsewhere a line for each. With `--json` nothing. */
export class StartProgress {
  readonly #context: CliContext;
  readonly #isShown: boolean;
  readonly #isTerminal: boolean;
  /** Steps that go on, with when they began and whether that was said. */
  readonly #running = new Map<string, { readonly beganAtMs: number; isSaid: boolean }>();
  #frame = 0;
  #isOnScreen = false;

  constructor(context: CliContext) {
    this.#context = context;
    this.#isShown = !context.isJson;
    this.#isTerminal = context.diagnostics.isTerminal;
  }

  begin(step: string): void {
    this.#running.set(step, { beganAtMs: this.#context.diagnostics.nowMs(), isSaid: false });
  }

  end({ step, ms }: { readonly step: string; readonly ms: number }): void {
    this.#running.delete(step);
    if (!this.#isShown) return;
    this.clear();
    const time = `${Math.round(ms)} ms`;
    this.#write(
      this.#isTerminal ? `${GREEN}✓${PLAIN} ${step} ${DIM}${time}${PLAIN}\n` : `${step}: ${time}\n`,
    );
  }

  /** Some time has gone by. */
  tick(): void {
    if (!this.#isShown) return;
    const nowMs = this.#context.diagnostics.nowMs();
    const slow = [...this.#running].filter(([, { beganAtMs }]) => nowMs - beganAtMs >= QUIET_MS);
    if (!this.#isTerminal) this.#sayPatiently(nowMs);
    else if (slow.length > 0) this.#show(slow, nowMs);
  }

  #show(slow: readonly (readonly [string, { readonly beganAtMs: number }])[], nowMs: number): void {
    const frame = FRAMES[this.#frame++ % FRAMES.length];
    const steps = slow.map(
      ([step, { beganAtMs }]) => `${step} ${DIM}${((nowMs - beganAtMs) / 1000).toFixed(1)} s${PLAIN}`,
    );
    this.#isOnScreen = true;
    this.#write(`${ERASE_LINE}${frame} ${steps.join(', ')}`);
  }

  /** Takes the line that changes away. */
  clear(): void {
    if (this.#isOnScreen) this.#write(ERASE_LINE);
    this.#isOnScreen = false;
  }

  #sayPatiently(nowMs: number): void {
    for (const [step, state] of this.#running) {
      if (state.isSaid || nowMs - state.beganAtMs < PATIENCE_MS) continue;
      state.isSaid = true;
      this.#write(`${step} …\n`);
    }
  }

  #write(text: string): void {
    this.#context.diagnostics.write(text);
  }
}
