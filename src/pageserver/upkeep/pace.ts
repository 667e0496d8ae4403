import type { JobContext } from '../../io/workers.ts';

/** So much work is done in a few milliseconds. */
const STEP_BYTES: number = 512 * 1024;
/** What a value costs beside its bytes. */
const VALUE_BYTES = 128;

/** Says when a job is to let others have their turn. */
export class Pace {
  readonly #context: JobContext;
  #doneBytes = 0;

  constructor(context: JobContext) {
    this.#context = context;
  }

  /** A value of so many bytes was worked on. */
  isDue(lengthBytes: number): boolean {
    this.#doneBytes += VALUE_BYTES + lengthBytes;
    return this.#doneBytes >= STEP_BYTES;
  }

  /** As JobContext.step. */
  async step(): Promise<void> {
    this.#doneBytes = 0;
    await this.#context.step();
  }
}
