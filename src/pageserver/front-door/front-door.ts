import { VarveError } from '../../base/errors.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { TokenClaims } from '../../contracts/token.ts';
import type { TokenVerifier } from '../../http/token-verifier.ts';
import type { Clock } from '../../io/clock.ts';
import type { Connection, Listener, ServerIdentity, SocketAddress, Sockets } from '../../io/sockets.ts';
import { ServerConnection } from '../../libpq/server/server-connection.ts';
import type { SessionHandler } from '../../libpq/server/session.ts';
import type { Logger } from '../../observe/log.ts';

export interface FrontDoorOptions {
  readonly address: SocketAddress;
  /** Longest message of a client. */
  readonly bodyBytesMax: number;
  /** Without it everybody is let in. */
  readonly verifier: TokenVerifier | undefined;
  readonly identity: ServerIdentity | undefined;
  readonly handler: SessionHandler<TokenClaims | undefined>;
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Where computes connect by libpq. Connections live apart from timelines: one may serve several, one after another. */
export class PageFrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #ending = new AbortController();
  readonly #connections = new TaskSet();
  #listener: Listener | undefined;
  #connectionCount = 0;

  private constructor(options: FrontDoorOptions) {
    this.#options = options;
  }

  /** @throws what the sockets door does, such as ADDRESS_IN_USE */
  static async open(options: FrontDoorOptions): Promise<PageFrontDoor> {
    const door = new PageFrontDoor(options);
    door.#listener = await options.sockets.listen(options.address, (connection) => door.#accept(connection));
    return door;
  }

  /** With the port that was taken. */
  get address(): SocketAddress {
    return this.#listener?.address ?? this.#options.address;
  }

  /** Clients that are connected. */
  get connectionCount(): number {
    return this.#connectionCount;
  }

  /** Ends all connections and accepts nobody any more. May be called again. */
  async close(): Promise<void> {
    this.#ending.abort(new VarveError('cancelled', 'CLOSING', 'the pageserver is closing'));
    await this.#listener?.close();
    await this.#connections.settled();
  }

  #accept(connection: Connection): void {
    if (this.#ending.signal.aborted) connection.close();
    else this.#connections.run(() => this.#serve(connection));
  }

  async #serve(connection: Connection): Promise<void> {
    const { clock, verifier, identity, handler, bodyBytesMax, logger } = this.#options;
    const server = new ServerConnection<TokenClaims | undefined>(connection, handler, {
      clock,
      authentication:
        verifier === undefined
          ? { mode: 'trust', identity: undefined }
          : { mode: 'token', authenticate: (token) => verifier.verify(token) },
      bodyBytesMax,
      ...(identity === undefined ? {} : { tls: { identity } }),
    });
    this.#connectionCount++;
    try {
      const ending = await server.run(this.#ending.signal);
      if (ending.kind !== 'error') return;
      const { message } = ending.error;
      logger.info('a connection ended with an error', { peer: connection.peer, error: message });
    } finally {
      this.#connectionCount--;
    }
  }
}
