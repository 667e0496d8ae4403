import { VarveError } from '../../base/errors.ts';
import type { Clock } from '../../io/clock.ts';
import type { Connection } from '../../io/sockets.ts';
import { type BackendMessage, writeBackendMessage } from '../../postgres/wire/backend-messages.ts';
import {
  decodeFrontendMessage,
  type FrontendMessage,
  frontendBodyLimits,
} from '../../postgres/wire/frontend-messages.ts';
import { MessageWriter } from '../../postgres/wire/message-writer.ts';
import { formatTag, ProtocolError } from '../../postgres/wire/wire-error.ts';
import { MessageChannel } from '../message-channel.ts';
import { ExtendedQuery, isExtended } from './extended-query.ts';
import { Session, type SessionHandler } from './session.ts';
import { ConnectionEndError, isBug, toErrorFields } from './sqlstate.ts';
import { type ServerAuthentication, type ServerTls, STARTUP_FRAMES, startUp } from './startup.ts';

const SERVER_VERSION_DEFAULT = '14.1';
const BODY_BYTES_MAX_DEFAULT = 16 * 1024 * 1024;
const STARTUP_TIMEOUT_MS_DEFAULT = 60_000;
const READ_TIMEOUT_MS_DEFAULT = 600_000;
const LINGER_MS_DEFAULT = 1000;
const TERMINATE_TAG = 0x58;
/** A client that does not take its answers is not asked for more commands. */
const UNSENT_BYTES_MAX = 1024 * 1024;

export interface ServerConnectionOptions<Identity> {
  readonly clock: Clock;
  readonly authentication: ServerAuthentication<Identity>;
  /** Without it there is no TLS. */
  readonly tls?: ServerTls;
  /** Longest message of a client that has been let in, 16 MiB by default. A stranger's may have 10 kB. */
  readonly bodyBytesMax?: number;
  /** From the first byte to where queries may come; 1 minute by default. */
  readonly startupTimeoutMs?: number;
  /** How long a client may send nothing while something is awaited of it; 10 minutes by default. */
  readonly readTimeoutMs?: number;
  /** How long the client has to take what was sent last, 1 second by default. */
  readonly lingerMs?: number;
  /** What the parameter server_version says, `14.1` by default. */
  readonly serverVersion?: string;
}

/** How a connection ended. */
export type ConnectionEnding =
  | { readonly kind: 'client-closed' }
  | { readonly kind: 'error'; readonly error: VarveError }
  /** By the signal. */
  | { readonly kind: 'cancelled' };

/** One client of a service, from `accept` to its end. */
export class ServerConnection<Identity> {
  readonly #options: ServerConnectionOptions<Identity>;
  readonly #handler: SessionHandler<Identity>;
  readonly #channel: MessageChannel;
  /** Aborted when the connection is over. */
  readonly #life = new AbortController();
  /** Aborted when the client has left, and nobody has come to read that yet. */
  readonly #leaving = new AbortController();
  readonly #extended = new ExtendedQuery();
  /** After an error, the extended protocol goes on at the next Sync. */
  #isSkipping = false;
  /** After an error within a COPY, what the client copied before it knew is passed over (postgres.c, PostgresMain). */
  #isPassingOverCopy = false;

  constructor(
    connection: Connection,
    handler: SessionHandler<Identity>,
    options: ServerConnectionOptions<Identity>,
  ) {
    this.#options = options;
    this.#handler = handler;
    this.#channel = new MessageChannel(connection, {
      clock: options.clock,
      frames: STARTUP_FRAMES,
      onOver: (error) => this.#life.abort(error ?? connectionEnded()),
      onUnread: (bytes) => {
        if (bytes === undefined || bytes[0] === TERMINATE_TAG) this.#leaving.abort(connectionEnded());
      },
    });
  }

  /**
   * Serves the client. Resolves when the connection is gone and no handler runs any more.
   * @param signal ends the connection: with "shutdown", after the handler has obeyed the session's signal
   * @throws what is a bug of ours, after the connection was closed
   */
  async run(signal: AbortSignal): Promise<ConnectionEnding> {
    const cancel = (): void => this.#channel.fail(ConnectionEndError.shutdown());
    signal.addEventListener('abort', cancel, { once: true });
    try {
      if (signal.aborted) cancel();
      await this.#serve();
      return { kind: 'client-closed' };
    } catch (error) {
      // What the connection failed of is the cause of what a handler may have made of it.
      const cause = isBug(error) ? error : (this.#channel.failure ?? error);
      this.#send([{ kind: 'ErrorResponse', fields: toErrorFields(cause, 'FATAL') }]);
      if (isBug(cause)) throw cause;
      if (signal.aborted) return { kind: 'cancelled' };
      return { kind: 'error', error: cause as VarveError };
    } finally {
      signal.removeEventListener('abort', cancel);
      await this.#channel.close(this.#options.lingerMs ?? LINGER_MS_DEFAULT);
    }
  }

  async #serve(): Promise<void> {
    const session = await this.#startUp();
    if (session === undefined) return;
    const channel = this.#channel;
    channel.setReadTimeout(this.#options.readTimeoutMs ?? READ_TIMEOUT_MS_DEFAULT);
    channel.cutter.setLimits(frontendBodyLimits(this.#options.bodyBytesMax ?? BODY_BYTES_MAX_DEFAULT));
    this.#sendReady();
    while (await channel.next()) {
      const { tag, bytes, bodyOffset, bodyLength } = channel.cutter;
      const message = decodeFrontendMessage(tag, bytes, bodyOffset, bodyLength);
      if (message.kind === 'Terminate') return;
      try {
        await this.#dispatch(session, tag, message);
      } catch (error) {
        if (channel.failure !== undefined || !session.survivesErrors || endsConnection(error)) throw error;
        this.#isPassingOverCopy ||= session.copy !== undefined;
        session.endCopy();
        this.#isSkipping = message.kind !== 'Query';
        this.#send([{ kind: 'ErrorResponse', fields: toErrorFields(error, 'ERROR') }]);
        if (message.kind === 'Query') this.#sendReady();
      }
      if (session.isTerminated) return;
      if (channel.connection.unsentBytes > UNSENT_BYTES_MAX) await this.#drained();
    }
  }

  async #dispatch(session: Session<Identity>, tag: number, message: FrontendMessage): Promise<void> {
    if (message.kind === 'Sync') {
      this.#isSkipping = false;
      return this.#sendReady();
    }
    if (message.kind === 'Query') {
      if (this.#isSkipping) return;
      await this.#query(session, message.query);
      return this.#sendReady();
    }
    if (this.#isPassingOverCopy && isCopying(message)) return;
    if (!isExtended(message)) {
      throw new ProtocolError('UNEXPECTED_MESSAGE', `message ${formatTag(tag)} outside of a COPY`);
    }
    if (this.#isSkipping) return;
    const taken = this.#extended.take(message);
    if ('execute' in taken) await this.#query(session, taken.execute);
    else this.#send(taken.answer);
  }

  /** Also resolves when the connection is over. */
  async #drained(): Promise<void> {
    const { signal } = this.#life;
    const over = Promise.withResolvers<void>();
    const wake = (): void => over.resolve();
    signal.addEventListener('abort', wake, { once: true });
    if (signal.aborted) wake();
    await Promise.race([this.#channel.connection.drained(UNSENT_BYTES_MAX), over.promise]);
    signal.removeEventListener('abort', wake);
  }

  /** A client that takes too long is let go of without a word: it may not even be one. */
  async #startUp(): Promise<Session<Identity> | undefined> {
    const { clock, startupTimeoutMs = STARTUP_TIMEOUT_MS_DEFAULT } = this.#options;
    const channel = this.#channel;
    const timer = clock.setTimer(startupTimeoutMs, () => {
      channel.fail(
        new VarveError('unavailable', 'STARTUP_TIMEOUT', `the startup took more than ${startupTimeoutMs} ms`),
      );
      channel.connection.close();
    });
    try {
      const { serverVersion = SERVER_VERSION_DEFAULT } = this.#options;
      const start = await startUp(channel, { ...this.#options, serverVersion }, this.#life.signal);
      if (channel.failure !== undefined) throw channel.failure;
      if (start === undefined) return undefined;
      return new Session(channel, { over: this.#life.signal, leaving: this.#leaving.signal }, start);
    } finally {
      timer.cancel();
    }
  }

  async #query(session: Session<Identity>, sql: string): Promise<void> {
    if (sql.trim() === '') return this.#send([{ kind: 'EmptyQueryResponse' }]);
    this.#isPassingOverCopy = false;
    await this.#handler.query(session, sql);
    session.completeCopyOut();
    if (session.copy === undefined) return;
    // Both sides end their halves, and the command is complete (walsender.c, StartReplication).
    const end = await session.copy.finish();
    if (end.kind === 'failed') throw end.error;
    session.endCopy();
    if (end.kind === 'done') session.sendComplete('COPY 0');
  }

  #sendReady(): void {
    this.#send([{ kind: 'ReadyForQuery', status: 'idle' }]);
  }

  #send(messages: readonly BackendMessage[]): void {
    const writer = new MessageWriter();
    for (const message of messages) writeBackendMessage(writer, message);
    if (writer.length > 0) this.#channel.send(writer.take());
  }
}

function isCopying({ kind }: FrontendMessage): boolean {
  return kind === 'CopyData' || kind === 'CopyDone' || kind === 'CopyFail';
}

function endsConnection(error: unknown): boolean {
  return isBug(error) || error instanceof ProtocolError || error instanceof ConnectionEndError;
}

function connectionEnded(): VarveError {
  return new VarveError('cancelled', 'CLIENT_LEFT', 'the client has ended the connection');
}
