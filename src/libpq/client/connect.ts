import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import type { Connection, ServerTrust, SocketAddress, Sockets } from '../../io/sockets.ts';
import { decodeEncryptionAnswer, encodeStartupPacket, PROTOCOL_3_0 } from '../../postgres/wire/startup.ts';
import { ProtocolError } from '../../postgres/wire/wire-error.ts';
import { ClientAuthentication, type PasswordSource } from './authenticate.ts';
import { ClientConnection } from './client-connection.ts';
import { PostgresError } from './postgres-error.ts';

const BODY_BYTES_MAX_DEFAULT = 16 * 1024 * 1024;

export interface ConnectOptions {
  readonly user: string;
  readonly database?: string;
  /** Further parameters of the startup packet: `application_name`, `options`, `replication`, settings. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly password?: PasswordSource;
  /** Answer a server that asks for a proof by MD5. */
  readonly isMd5Allowed?: boolean;
  /** Insist on TLS, with a server that is trusted. Without it there is none. */
  readonly tls?: ServerTrust;
  readonly clock: Clock;
  /** For nonces. */
  readonly random: Random;
  /** From the beginning to where commands may be sent. */
  readonly connectTimeoutMs: number;
  /** Longest message that the server may send, 16 MiB by default. */
  readonly bodyBytesMax?: number;
  /** Ends the connection, at any time of its life. */
  readonly signal: AbortSignal;
}

/**
 * Connects and logs in.
 * @throws PostgresError for what the server answers, `unavailable` / CONNECT_TIMEOUT, `cancelled` / CANCELLED, what the
 * sockets door raises, ProtocolError, and BadRequestError for a proof of identity that is not spoken here
 */
export async function connect(
  sockets: Sockets,
  address: SocketAddress,
  options: ConnectOptions,
): Promise<ClientConnection> {
  const { clock, connectTimeoutMs, signal } = options;
  const attempt = new AbortController();
  const cancel = (): void =>
    attempt.abort(new VarveError('cancelled', 'CANCELLED', 'the caller has given up'));
  const timer = clock.setTimer(connectTimeoutMs, () => attempt.abort(timedOut(address, connectTimeoutMs)));
  signal.addEventListener('abort', cancel, { once: true });
  const forget = (): void => signal.removeEventListener('abort', cancel);
  let connection: Connection | undefined;
  let client: ClientConnection | undefined;
  // A password provider may take its time.
  const aborted = new Promise<never>((_, reject) => {
    attempt.signal.addEventListener('abort', () => {
      client?.abort(attempt.signal.reason);
      connection?.close();
      reject(attempt.signal.reason);
    });
  });
  // The attempt's signal is looked at after each step too: where no race waits for this, nothing is lost.
  aborted.catch(() => undefined);
  try {
    if (signal.aborted) cancel();
    attempt.signal.throwIfAborted();
    connection = await sockets.connect(address, attempt.signal);
    attempt.signal.throwIfAborted();
    if (options.tls !== undefined) await secure(connection, options.tls);
    attempt.signal.throwIfAborted();
    client = new ClientConnection(connection, clock, options.bodyBytesMax ?? BODY_BYTES_MAX_DEFAULT, forget);
    await Promise.race([logIn(connection, client, options), aborted]);
    attempt.signal.throwIfAborted();
    return client;
  } catch (error) {
    forget();
    connection?.close();
    throw attempt.signal.aborted ? attempt.signal.reason : error;
  } finally {
    timer.cancel();
  }
}

/** SSLRequest, its answer, and the handshake (fe-connect.c, PQconnectPoll). */
async function secure(connection: Connection, trust: ServerTrust): Promise<void> {
  const answer = new Promise<Uint8Array>((resolve, reject) => {
    const lost = (error?: Error): void => {
      reject(
        error ??
          new VarveError('unavailable', 'CONNECTION_LOST', 'the server does not answer the SSLRequest'),
      );
    };
    connection.receive({
      onBytes: (chunk) => {
        connection.pause();
        resolve(chunk);
      },
      onEnd: lost,
      onClosed: lost,
    });
  });
  connection.send(encodeStartupPacket({ kind: 'SslRequest' }));
  const bytes = await answer;
  if (!decodeEncryptionAnswer('SslRequest', bytes[0] as number)) {
    throw new BadRequestError('TLS_REFUSED', 'the server has no TLS');
  }
  if (bytes.length > 1) {
    throw new ProtocolError('UNENCRYPTED_DATA', `${bytes.length - 1} unencrypted bytes came with the answer`);
  }
  connection.resume();
  await connection.secureAsClient(trust);
}

async function logIn(
  connection: Connection,
  client: ClientConnection,
  options: ConnectOptions,
): Promise<void> {
  const parameters = new Map(Object.entries(options.parameters ?? {}));
  parameters.set('user', options.user);
  if (options.database !== undefined) parameters.set('database', options.database);
  connection.send(encodeStartupPacket({ kind: 'Startup', protocolVersion: PROTOCOL_3_0, parameters }));
  const authentication = new ClientAuthentication(
    options.password,
    options.random,
    options.isMd5Allowed === true ? options.user : undefined,
  );
  let isIn = false;
  for (;;) {
    const message = await client.receive();
    if (message.kind === 'ErrorResponse') throw new PostgresError(message.fields);
    if (message.kind === 'ReadyForQuery' && isIn) return;
    if (message.kind === 'Authentication' && !isIn) {
      const data = await authentication.answer(message.request);
      if (data !== undefined) client.send({ kind: 'AuthenticationResponse', data });
      isIn = message.request.method === 'Ok';
      continue;
    }
    if (message.kind === 'BackendKeyData' && isIn) continue;
    // 3.0 is the oldest version there is: a server that offers options only is no obstacle.
    if (message.kind === 'NegotiateProtocolVersion' && message.protocolVersion >= PROTOCOL_3_0) continue;
    throw new ProtocolError('UNEXPECTED_MESSAGE', `the server sends ${message.kind} while we log in`);
  }
}

function timedOut(address: SocketAddress, timeoutMs: number): VarveError {
  const name = 'path' in address ? address.path : `${address.host}:${address.port}`;
  return new VarveError('unavailable', 'CONNECT_TIMEOUT', `no login at ${name} within ${timeoutMs} ms`);
}
