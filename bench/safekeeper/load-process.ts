import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadRequest, LoadResult } from './load-messages.ts';

const MAIN = fileURLToPath(new URL('../safekeeper-load.ts', import.meta.url));

/** The clients, in a process of their own: they share nothing with what they measure but the machine. */
export class LoadProcess implements AsyncDisposable {
  readonly #child: ChildProcess = fork(MAIN, { serialization: 'advanced' });

  async run(request: LoadRequest): Promise<LoadResult> {
    const over = new AbortController();
    try {
      const answered = once(this.#child, 'message', { signal: over.signal });
      const exited = once(this.#child, 'exit', { signal: over.signal }).then(() => {
        throw new Error('the process of the load has ended');
      });
      this.#child.send(request);
      const [result] = await Promise.race([answered, exited]);
      return result as LoadResult;
    } finally {
      over.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }
}
