import type { CliContext } from './context.ts';
import type { Progress } from './progress.ts';

/** Gathers lines and writes them in large pieces, which is what makes long reports fast. */
export class ReportWriter {
  readonly #context: CliContext;
  readonly #progress: Progress | undefined;
  #lines: string[] = [];

  constructor(context: CliContext, progress?: Progress) {
    this.#context = context;
    this.#progress = progress;
  }

  line(text: string): void {
    this.#lines.push(text);
  }

  /** `value` as a line of JSON. It must hold only what JSON has. */
  json(value: unknown): void {
    this.#lines.push(JSON.stringify(value));
  }

  /** Writes what has been gathered, and waits until the reader has taken enough of it. */
  async flush(): Promise<void> {
    if (this.#lines.length === 0) return;
    const text = `${this.#lines.join('\n')}\n`;
    this.#lines = [];
    this.#progress?.clear();
    await this.#context.output.write(text);
  }
}
