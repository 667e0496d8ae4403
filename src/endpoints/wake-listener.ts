import { AssertionError, VarveError } from '../base/errors.ts';
import { TaskSet } from '../base/task-set.ts';
import type { Listener, Sockets } from '../io/sockets.ts';
import type { Logger } from '../observe/log.ts';
import { HeldClient } from './held-client.ts';

/** More than that many wait for no server; a server has some hundred connections. */
const HELD_MAX = 1000;
/** As a server sees clients of this machine, whom it lets in without a password. */
const LOOPBACK = '127.0.0.1';
/** From there it sees strangers: an address of this machine that it asks for a password. */
const LOOPBACK_OF_STRANGERS = '127.0.0.2';
const LOOPBACK_6 = '::1';

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** Listens in a server's place, and holds the clients that come until there is one. */
export class WakeListener {
  readonly address: TcpAddress;
  readonly #sockets: Sockets;
  readonly #logger: Logger;
  readonly #listener: Listener;
  readonly #held: Set<HeldClient>;
  readonly #relayed = new TaskSet();

  private constructor(
    sockets: Sockets,
    logger: Logger,
    listener: Listener,
    address: TcpAddress,
    held: Set<HeldClient>,
  ) {
    this.#sockets = sockets;
    this.#logger = logger;
    this.#listener = listener;
    this.address = address;
    this.#held = held;
  }

  /**
   * @param onWanted told of each client that wants a server
   * @throws what Sockets.listen throws
   */
  static async open(
    doors: { readonly sockets: Sockets; readonly logger: Logger },
    { host, port }: TcpAddress,
    onWanted: () => void,
  ): Promise<WakeListener> {
    const held = new Set<HeldClient>();
    const listener = await doors.sockets.listen({ host, port }, (connection) => {
      if (held.size >= HELD_MAX) return connection.close();
      held.add(new HeldClient(connection, onWanted, (client) => held.delete(client)));
    });
    const { address } = listener;
    if (!('port' in address)) throw new AssertionError('a TCP listener has no port');
    return new WakeListener(doors.sockets, doors.logger, listener, address, held);
  }

  /** How many wait for a server. */
  get waiting(): number {
    return [...this.#held].filter(({ isWanted }) => isWanted).length;
  }

  /** Lets go of the port. Clients that have come are held. May be called again. */
  async release(): Promise<void> {
    await this.#listener.close();
  }

  /** Hands all clients over to the server that listens at the port now. Does not wait for them. */
  relayAll(signal: AbortSignal): void {
    for (const client of [...this.#held]) {
      if (client.isWanted) this.#relayed.run(() => this.#relay(client, signal));
      else client.close();
    }
  }

  /** Lets go of the port, and tells all clients why there is no server. */
  async refuseAll(error: Error): Promise<void> {
    await this.release();
    this.refuseWaiting(error);
    for (const client of [...this.#held]) client.close();
  }

  /** Tells those that wait now why there is no server. */
  refuseWaiting(error: Error): void {
    for (const client of [...this.#held]) if (client.isWanted) client.refuse(error);
  }

  async #relay(client: HeldClient, signal: AbortSignal): Promise<void> {
    try {
      const server = await this.#sockets.connect(
        { ...routeTo(this.address.host, isLoopbackPeer(client.peer)), port: this.address.port },
        signal,
      );
      await client.relayTo(server);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      this.#logger.warn('A client that waited could not be handed over to its server', { error });
      client.refuse(error);
    }
  }
}

/**
 * How to connect to a server on behalf of a client: a stranger must not look like somebody of this machine.
 * @throws VarveError ‘unavailable’ / SERVER_STARTING where that cannot be told apart
 */
export function routeTo(host: string, isOwn: boolean): { host: string; localAddress: string } {
  if (host === '0.0.0.0' || host === '*' || host === 'localhost' || host === LOOPBACK) {
    return { host: LOOPBACK, localAddress: isOwn ? LOOPBACK : LOOPBACK_OF_STRANGERS };
  }
  if (host === '::' || host === LOOPBACK_6) {
    if (isOwn) return { host: LOOPBACK_6, localAddress: LOOPBACK_6 };
    throw new VarveError('unavailable', 'SERVER_STARTING', 'the server has just been started: connect again');
  }
  // Whoever comes from another address of the machine than a loopback is asked for a password.
  return { host, localAddress: host };
}

/** Whom a server would see as 127.0.0.1 or ::1 itself. */
export const isLoopbackPeer = (peer: string): boolean =>
  /^(127\.0\.0\.1|\[?::1\]?|\[?::ffff:127\.0\.0\.1\]?):\d+$/.test(peer);
