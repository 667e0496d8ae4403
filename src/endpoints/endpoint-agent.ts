import type { Compute } from '../compute/compute.ts';
import { runComputeAgent } from '../compute/compute-agent.ts';
import type { ComputeDoors, ComputeOptions } from '../compute/options.ts';
import { cancelledError } from '../io/cancelled.ts';

export interface EndpointAgentEvents {
  /** The server was started anew, after a crash. */
  onRestarted(compute: Compute): void;
  /** It has ended by itself, and nobody starts it again. */
  onFailed(error: Error): void;
}

/** A compute agent that has brought its server up once, from then on to its end. */
export class EndpointAgent {
  readonly #stop = new AbortController();
  readonly #kill = new AbortController();
  readonly #running: Promise<void>;
  #compute: Compute | undefined;
  #isReady = false;

  private constructor(
    options: ComputeOptions,
    doors: ComputeDoors,
    onReady: () => void,
    events: EndpointAgentEvents,
  ) {
    const signals = { stop: this.#stop.signal, kill: this.#kill.signal };
    const running = runComputeAgent(options, doors, signals, {
      onReady: async (compute) => {
        this.#compute = compute;
        if (this.#isReady) return events.onRestarted(compute);
        this.#isReady = true;
        onReady();
      },
      onRestart: () => {
        this.#compute = undefined;
      },
    });
    this.#running = running.then(
      () => {
        this.#compute = undefined;
      },
      (error: Error) => {
        this.#compute = undefined;
        if (this.#isReady && !this.#stop.signal.aborted) events.onFailed(error);
        throw error;
      },
    );
    this.#running.catch(() => undefined);
  }

  /**
   * Resolves when the server lets clients in.
   * @throws as Compute.start: nothing of it runs then
   */
  static async start(
    options: ComputeOptions,
    doors: ComputeDoors,
    signal: AbortSignal,
    events: EndpointAgentEvents,
  ): Promise<EndpointAgent> {
    const ready = Promise.withResolvers<void>();
    const agent = new EndpointAgent(options, doors, ready.resolve, events);
    const onAbort = (): void => agent.#kill.abort();
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    try {
      await Promise.race([ready.promise, agent.#running]);
      if (!agent.#isReady) throw cancelledError(signal);
      return agent;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** The server; undefined while it is started anew. */
  get compute(): Compute | undefined {
    return this.#compute;
  }

  /** Ends it in order, or at once when the signal is given. @throws what its end fails of */
  async stop(signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#kill.abort();
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    this.#stop.abort();
    try {
      await this.#running;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
