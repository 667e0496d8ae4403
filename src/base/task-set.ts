/**
 * Tasks that run on their own, such as the service of one connection, until whoever started them ends. A task reports
 * its own failures: what it rejects with is a bug, and is left to the run time to raise.
 */
export class TaskSet {
  readonly #tasks = new Set<Promise<void>>();

  get size(): number {
    return this.#tasks.size;
  }

  run(task: () => Promise<void>): void {
    const running: Promise<void> = task().finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  /** Resolves when no task runs any more. */
  async settled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.allSettled(this.#tasks);
  }
}
