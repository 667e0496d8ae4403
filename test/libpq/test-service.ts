import type { VarveError } from '../../src/base/errors.ts';
import { AssertionError } from '../../src/base/errors.ts';
import type { Clock } from '../../src/io/clock.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { Connection, Listener } from '../../src/io/sockets.ts';
import type { CopyEnd, CopyStream } from '../../src/libpq/copy-stream.ts';
import {
  type ConnectionEnding,
  ServerConnection,
  type ServerConnectionOptions,
} from '../../src/libpq/server/server-connection.ts';
import type { Session, SessionHandler } from '../../src/libpq/server/session.ts';
import { ConnectionEndError } from '../../src/libpq/server/sqlstate.ts';
import { CommandError } from '../../src/postgres/wire/wire-error.ts';
import { ManualClock, MemoryConnection } from '../support/memory-connection.ts';
import { RawClient } from '../support/raw-client.ts';

export const sockets = nodeSockets((error: VarveError) => {
  throw error;
});

/** A small service: what its commands do shows each side of a session. */
export class TestHandler implements SessionHandler<string> {
  readonly sessions: Session<string>[] = [];
  readonly copied: Buffer[] = [];
  readonly ends: CopyEnd[] = [];
  stream: CopyStream | undefined;
  /** What to do with each CopyData, beside keeping it. */
  onCopied: (stream: CopyStream, body: Uint8Array) => void = () => undefined;

  async query(session: Session<string>, sql: string): Promise<void> {
    this.sessions.push(session);
    switch (sql) {
      case 'HELLO':
        session.sendResult({
          columns: [
            { name: 'name', type: 'text' },
            { name: 'number', type: 'int4' },
            { name: 'nothing', type: 'text' },
          ],
          rows: [['grün', '42', null]],
          commandTag: 'HELLO 1',
        });
        return;
      case 'SET':
        return session.sendComplete('SET');
      case 'FAIL':
        throw new CommandError('BAD_COMMAND', 'this never works');
      case 'BUG':
        throw new AssertionError('a secret of ours');
      case 'END':
        throw ConnectionEndError.success('DONE', 'ending streaming');
      case 'WAIT':
        await new Promise<void>((resolve) => session.signal.addEventListener('abort', () => resolve()));
        throw session.signal.reason;
      case 'BYE':
        session.copyBoth({ onCopyData: () => undefined, onCopyEnd: () => undefined });
        return;
      case 'COPY':
        return this.#copy(session);
    }
    throw new CommandError('UNKNOWN', `unknown command ${sql}`);
  }

  #copy(session: Session<string>): Promise<void> {
    return new Promise((resolve, reject) => {
      const stream = session.copyBoth({
        onCopyData: (bytes, offset, length) => {
          this.copied.push(Buffer.from(bytes.subarray(offset, offset + length)));
          this.onCopied(stream, bytes.subarray(offset, offset + length));
        },
        onCopyEnd: (end) => {
          this.ends.push(end);
          if (end.kind === 'failed') reject(end.error);
          else resolve();
        },
      });
      this.stream = stream;
      stream.sendCopyData(Buffer.from('first'));
    });
  }
}

export interface TestService extends AsyncDisposable {
  readonly listener: Listener;
  readonly handler: TestHandler;
  readonly endings: (ConnectionEnding | { kind: 'bug'; error: unknown })[];
  readonly runs: Promise<void>[];
  readonly port: number;
  stop(): void;
}

const TRUST = { mode: 'trust', identity: 'anybody' } as const;

/** Listens on a port of its own with the real sockets. */
export async function startService(
  options: Partial<ServerConnectionOptions<string>> = {},
): Promise<TestService> {
  const handler = new TestHandler();
  const endings: TestService['endings'] = [];
  const runs: Promise<void>[] = [];
  const life = new AbortController();
  const listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
    runs.push(run(connection, handler, { clock: nodeClock, ...options }, life.signal, endings));
  });
  const stop = (): void => life.abort();
  return {
    listener,
    handler,
    endings,
    runs,
    port: (listener.address as { port: number }).port,
    stop,
    async [Symbol.asyncDispose]() {
      stop();
      await listener.close();
      await Promise.all(runs);
    },
  };
}

async function run(
  connection: Connection,
  handler: TestHandler,
  options: Partial<ServerConnectionOptions<string>> & { clock: Clock },
  signal: AbortSignal,
  endings: TestService['endings'],
): Promise<void> {
  const server = new ServerConnection(connection, handler, { authentication: TRUST, ...options });
  try {
    endings.push(await server.run(signal));
  } catch (error) {
    endings.push({ kind: 'bug', error });
  }
}

/** A service with one connection within memory, and time that stands still. */
export function startInMemory(options: Partial<ServerConnectionOptions<string>> = {}): {
  client: RawClient;
  server: MemoryConnection;
  clock: ManualClock;
  handler: TestHandler;
  life: AbortController;
  ended: Promise<TestService['endings'][number]>;
} {
  const clock = new ManualClock();
  const [ours, theirs] = MemoryConnection.pair();
  const handler = new TestHandler();
  const life = new AbortController();
  const endings: TestService['endings'] = [];
  const running = run(ours, handler, { clock, ...options }, life.signal, endings);
  const ended = running.then(() => endings[0] as TestService['endings'][number]);
  return { client: new RawClient(theirs), server: ours, clock, handler, life, ended };
}
