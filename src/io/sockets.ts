/**
 * The door to byte streams between programs. Errors are VarveErrors:
 *
 * - `unavailable` / CONNECTION_FAILED, CONNECTION_LOST: nobody listens there, or the other side or the network is gone
 * - `conflict` / ADDRESS_IN_USE: somebody else listens at this address
 * - `bad-request` / BAD_ADDRESS, `precondition` / PERMISSION_DENIED: this can never work
 * - `bad-request` / TLS_FAILED: the two sides cannot agree on a secure channel, or a certificate is not trusted
 * - `cancelled` / CANCELLED: the signal was given
 */
export interface Sockets {
  /** Port 0 takes a free one. `accept` is called for each connection and must not throw. */
  listen(address: SocketAddress, accept: (connection: Connection) => void): Promise<Listener>;
  connect(address: SocketAddress, signal: AbortSignal): Promise<Connection>;
}

/** TCP, or a Unix socket. */
export type SocketAddress =
  | {
      readonly host: string;
      readonly port: number;
      /** For `connect`: the address of this machine to come from. */
      readonly localAddress?: string;
    }
  | { readonly path: string };

export interface Listener extends AsyncDisposable {
  /** With the port that was taken. */
  readonly address: SocketAddress;
  /** Accepts nobody any more. Connections that were accepted live on. */
  close(): Promise<void>;
}

/** Who takes what a connection brings. Its methods are called one after another, never within a call to the connection. */
export interface Receiver {
  /**
   * The next bytes, never none. The chunk is the receiver's from now on: nobody else writes into it or reads it, unless
   * `isChunkFree` says otherwise.
   */
  onBytes(chunk: Uint8Array): void;
  /** Looked at after `onBytes`. True: what comes next may be written where that chunk is. */
  readonly isChunkFree?: boolean;
  /** The other side will send nothing more. It may still receive. */
  onEnd(): void;
  /** Called once, last: the connection is gone. Without an error if this side closed it, or both ended it in order. */
  onClosed(error: Error | undefined): void;
}

/**
 * An ordered stream of bytes in both directions. Small messages are sent at once (no Nagle).
 *
 * Nothing is received before `receive`. What comes between two receivers' turns is kept, but for a bound the sender
 * is held back: a receiver that is paused slows the other side down and nobody else.
 */
export interface Connection {
  /** Who is on the other side, for logs. */
  readonly peer: string;
  /** Bytes that were given to `send` and have not left yet. Whoever sends keeps this within a bound: see `drained`. */
  readonly unsentBytes: number;
  readonly isClosed: boolean;
  /**
   * Sets who receives from now on, and begins to receive unless paused. May be called again, with another receiver;
   * one that comes after the connection has gone is told so.
   */
  receive(receiver: Receiver): void;
  /** No `onBytes` and no `onEnd` until `resume`, whoever receives. */
  pause(): void;
  resume(): void;
  /**
   * Sends all of `bytes`, after what was sent before. They must not change until they have left: until `sent` is
   * called, if given. Does nothing on a closed connection; `sent` is then never called. After `end` it is a bug.
   */
  send(bytes: Uint8Array, sent?: () => void): void;
  /** Resolves once at most `limitBytes` are unsent, or the connection is closed. */
  drained(limitBytes: number): Promise<void>;
  /** Sends what is unsent, then tells the other side that nothing more comes. What it sends is still received. */
  end(): void;
  /** Lets go of the connection at once, with what is unsent. May be called again. */
  close(): void;
  /**
   * Makes the channel secure, before anything else is received. `received` are bytes of the TLS handshake that have
   * come already. The receiver set before gets the decrypted bytes. If it fails, the connection is closed.
   */
  secureAsServer(identity: ServerIdentity, received?: Uint8Array): Promise<void>;
  secureAsClient(trust: ServerTrust): Promise<void>;
}

/** What a server proves who it is with: PEM. */
export interface ServerIdentity {
  readonly certificate: string;
  readonly privateKey: string;
}

/** Whom a client believes. */
export interface ServerTrust {
  /** PEM of the authorities; without it those that the run time knows. */
  readonly authorities?: string;
  /** The name that the certificate must be for. */
  readonly serverName: string;
  /** Encrypt only, and believe whoever answers (libpq's sslmode=require). */
  readonly isAnyoneTrusted?: boolean;
}
