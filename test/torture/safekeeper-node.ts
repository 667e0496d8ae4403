import { setTimeout as delay } from 'node:timers/promises';
import { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import type { VarveFamily, VarveProcess } from '../support/varve-process.ts';

export interface SafekeeperNodeOptions {
  readonly id: number;
  readonly directory: string;
  readonly pgPort: number;
  readonly httpPort: number;
  /** A command to run it by. */
  readonly wrapper?: readonly string[];
}

/** One safekeeper: a process that is killed and started again, at the same place. */
export class SafekeeperNode {
  readonly options: SafekeeperNodeOptions;
  readonly client: SafekeeperClient;
  /** Why it ended when nobody had killed it. That must not happen. */
  failure: Error | undefined;
  readonly #family: VarveFamily;
  #process: VarveProcess | undefined;

  constructor(family: VarveFamily, options: SafekeeperNodeOptions) {
    this.#family = family;
    this.options = options;
    this.client = new SafekeeperClient({
      http: nodeHttp(() => undefined),
      clock: nodeClock,
      baseUrl: `http://127.0.0.1:${options.httpPort}`,
    });
  }

  get process(): VarveProcess {
    if (this.#process === undefined) throw new Error(`safekeeper ${this.options.id} does not run`);
    return this.#process;
  }

  /** `1=127.0.0.1:5454`, as the proposer takes it. */
  get member(): string {
    return `${this.options.id}=127.0.0.1:${this.options.pgPort}`;
  }

  /** Resolves when it serves. */
  async start(syncDelayMs = 0): Promise<void> {
    const { id, directory, pgPort, httpPort, wrapper } = this.options;
    const started = this.#family.start(
      [
        ...['safekeeper', '--id', String(id), '--dir', directory, '--log-level', 'info'],
        ...['--listen-pg', `127.0.0.1:${pgPort}`, '--listen-http', `127.0.0.1:${httpPort}`],
        ...(syncDelayMs === 0 ? [] : ['--inject-sync-delay-ms', String(syncDelayMs)]),
      ],
      wrapper === undefined ? {} : { wrapper },
    );
    this.#process = started;
    await started.line();
    void started.ended.then((end) => {
      if (this.#process !== started) return;
      this.failure ??= new Error(
        `safekeeper ${id} ended by itself (${end}); its log ends:\n${started.errorText.slice(-3000)}`,
      );
    });
  }

  /** `kill -9`, and after a while a new process. */
  async restart(downMs: number, syncDelayMs: number): Promise<void> {
    const { process } = this;
    this.#process = undefined;
    await process.kill('SIGKILL');
    await delay(downMs);
    await this.start(syncDelayMs);
  }

  /** SIGSTOP, and after a while SIGCONT. */
  async freeze(durationMs: number): Promise<void> {
    const { process } = this;
    process.signal('SIGSTOP');
    await delay(durationMs);
    process.signal('SIGCONT');
  }

  /** In order, as it is told to by an operator. */
  async stop(): Promise<void> {
    const { process } = this;
    this.#process = undefined;
    const end = await process.kill('SIGTERM');
    if (end !== 0) throw new Error(`safekeeper ${this.options.id} did not close in order: ${end}`);
  }
}
