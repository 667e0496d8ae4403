import { fileURLToPath } from 'node:url';
import { CommandProcess } from '../../test/support/command-process.ts';
import type { DelayCommands } from './delay-messages.ts';

const MAIN = fileURLToPath(new URL('../load-delay.ts', import.meta.url));

/** A way to a server of this machine that takes longer, in a process of its own. */
export class DelayingProxy implements AsyncDisposable {
  readonly port: number;
  readonly #process: CommandProcess<DelayCommands>;

  private constructor(process: CommandProcess<DelayCommands>, port: number) {
    this.#process = process;
    this.port = port;
  }

  /** @param delayMs for what the server sends: so much is added to each round trip */
  static async start(targetPort: number, delayMs: number): Promise<DelayingProxy> {
    const process = new CommandProcess<DelayCommands>(MAIN);
    return new DelayingProxy(process, await process.ask('listen', { targetPort, delayMs }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
