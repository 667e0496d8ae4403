import { TaskSet } from '../../base/task-set.ts';
import type { SafekeeperAddress } from '../../contracts/membership.ts';
import type { TimelineState } from '../../contracts/status-stream.ts';
import { StatusClient } from '../../status/status-client.ts';
import type { PeersOptions } from './peers-options.ts';

export interface PeerLinksOptions extends PeersOptions {
  /** Ends all streams. */
  readonly signal: AbortSignal;
  readonly onStates: (nodeId: number, streamNumber: number, states: readonly TimelineState[]) => void;
}

interface PeerLink {
  readonly address: SafekeeperAddress;
  readonly client: StatusClient;
  readonly ending: AbortController;
}

/**
 * The status streams from other safekeepers: one from each that was met. There are as many as safekeepers that share
 * timelines with this one, and they cost a keepalive now and then, so none is given up.
 */
export class PeerLinks {
  readonly #options: PeerLinksOptions;
  readonly #links = new Map<number, PeerLink>();
  readonly #tasks = new TaskSet();

  constructor(options: PeerLinksOptions) {
    this.#options = options;
  }

  /** What follows a safekeeper; undefined if it was never met. */
  find(nodeId: number): StatusClient | undefined {
    return this.#links.get(nodeId)?.client;
  }

  /** As `host:port`. */
  addressOf(nodeId: number): string | undefined {
    const address = this.#links.get(nodeId)?.address;
    return address && `${address.host}:${address.pgPort}`;
  }

  /** A configuration names this safekeeper: follow it, there. */
  meet(address: SafekeeperAddress): void {
    const { signal } = this.#options;
    if (signal.aborted) return;
    const known = this.#links.get(address.id);
    if (known?.address.host === address.host && known.address.pgPort === address.pgPort) return;
    known?.ending.abort();
    const ending = new AbortController();
    const client = this.#makeClient(address);
    this.#links.set(address.id, { address, client, ending });
    this.#tasks.run(() => client.run(AbortSignal.any([signal, ending.signal])));
  }

  /** Resolves when nothing goes on any more. Give the signal first. */
  settled(): Promise<void> {
    return this.#tasks.settled();
  }

  #makeClient({ id, host, pgPort }: SafekeeperAddress): StatusClient {
    const { nodeId, sockets, clock, random, logger, settings, onStates } = this.#options;
    const client: StatusClient = new StatusClient({
      sockets,
      clock,
      random,
      logger,
      address: { host, port: pgPort },
      nodeId: id,
      applicationName: `safekeeper_${nodeId}`,
      inCommonWith: nodeId,
      onStates: (states) => onStates(id, client.streamNumber, states),
      ...(settings.token === undefined ? {} : { password: settings.token }),
      ...(settings.tls === undefined ? {} : { tls: { ...settings.tls, serverName: host } }),
    });
    return client;
  }
}
