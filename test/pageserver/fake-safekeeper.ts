import type { VarveError } from '../../src/base/errors.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { SafekeeperAddress } from '../../src/contracts/membership.ts';
import {
  decodeStatusRequest,
  encodeStatusNews,
  type StatusKey,
  type StatusNews,
} from '../../src/contracts/status-stream.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { Listener } from '../../src/io/sockets.ts';
import type { CopyReceiver, CopyStream } from '../../src/libpq/copy-stream.ts';
import { ServerConnection } from '../../src/libpq/server/server-connection.ts';
import type { Session, SessionHandler } from '../../src/libpq/server/session.ts';
import { parseReplicationCommand } from '../../src/postgres/wire/replication-commands.ts';
import {
  KEEPALIVE_BYTES,
  writeKeepalive,
  writeXLogDataHeader,
  XLOG_DATA_HEADER_BYTES,
} from '../../src/postgres/wire/replication-messages.ts';
import { TEST_SYSTEM } from '../support/safekeeper-wal.ts';

const TRUST = { mode: 'trust', identity: 'anybody' } as const;

/** What it does when somebody asks for WAL. */
export type WalScript = (stream: CopyStream, startLsn: Lsn) => void | Promise<void>;

/** Speaks like a safekeeper, and says what a test wants. */
export class FakeSafekeeper implements SessionHandler<string>, AsyncDisposable {
  readonly id: number;
  systemIdentifier = TEST_SYSTEM;
  timeline = '1';
  commitLsn: Lsn = toLsn(0);
  script: WalScript = () => undefined;
  readonly startLsns: Lsn[] = [];
  /** Bodies of what those who ask for WAL have said. */
  readonly said: Uint8Array[] = [];
  statusStreams = 0;
  /** Of all status streams. */
  readonly followed = new Map<string, StatusKey>();
  /** Tells those who follow nothing but who this is. */
  isMute = false;
  #listener!: Listener;
  readonly #life = new AbortController();
  readonly #runs: Promise<unknown>[] = [];
  readonly #status = new Set<CopyStream>();

  private constructor(id: number) {
    this.id = id;
  }

  static async start(id: number): Promise<FakeSafekeeper> {
    const fake = new FakeSafekeeper(id);
    const sockets = nodeSockets((error: VarveError) => {
      throw error;
    });
    fake.#listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      const server = new ServerConnection(connection, fake, { clock: nodeClock, authentication: TRUST });
      fake.#runs.push(server.run(fake.#life.signal));
    });
    return fake;
  }

  get address(): SafekeeperAddress {
    return { id: this.id, host: '127.0.0.1', pgPort: (this.#listener.address as { port: number }).port };
  }

  /** Tells those who follow. */
  commit(lsn: number): void {
    this.commitLsn = toLsn(lsn);
    for (const stream of this.#status) this.#tell(stream, this.#states());
  }

  /** Ends all status streams. */
  dropStatus(): void {
    for (const stream of this.#status) stream.sendCopyDone();
    this.#status.clear();
  }

  get followers(): number {
    return this.#status.size;
  }

  async query(session: Session<string>, sql: string): Promise<void> {
    const command = parseReplicationCommand(sql);
    if (command.kind === 'IdentifySystem') {
      const columns = ['systemid', 'timeline', 'xlogpos', 'dbname'].map((name) => ({
        name,
        type: 'text' as const,
      }));
      session.sendResult({
        columns,
        rows: [[String(this.systemIdentifier), this.timeline, '0/0', null]],
        commandTag: sql,
      });
    } else if (command.kind === 'StartStatusStream') {
      this.statusStreams++;
      await this.#copy(
        session,
        (stream) => this.#serveStatus(stream),
        (stream, body) => {
          const request = decodeStatusRequest(body, 0, body.length);
          if (request.kind === 'remove') {
            for (const { timelineId } of request.keys) this.followed.delete(timelineId);
          }
          if (request.kind !== 'add') return;
          for (const key of request.keys) this.followed.set(key.timelineId, key);
          this.#tell(stream, this.#states());
        },
      );
    } else if (command.kind === 'StartReplication') {
      this.startLsns.push(command.startLsn);
      await this.#copy(
        session,
        (stream) => this.script(stream, command.startLsn),
        (_stream, body) => void this.said.push(body),
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#listener.close();
    await Promise.all(this.#runs);
  }

  #serveStatus(stream: CopyStream): void {
    this.#status.add(stream);
    this.#tell(stream, { kind: 'hello', nodeId: this.id });
  }

  #states(): StatusNews {
    const states = [...this.followed.values()].map((key) => ({
      ...key,
      generation: 1,
      term: 1,
      lastLogTerm: 1,
      flushLsn: this.commitLsn,
      commitLsn: this.commitLsn,
      backupLsn: toLsn(0),
      remoteConsistentLsn: toLsn(0),
      peerHorizonLsn: toLsn(0),
      localStartLsn: toLsn(8),
      isActive: true,
    }));
    return { kind: 'states', states };
  }

  #tell(stream: CopyStream, news: StatusNews): void {
    if (stream.isClosed || (this.isMute && news.kind === 'states')) return;
    stream.sendCopyData(encodeStatusNews(news));
  }

  async #copy(
    session: Session<string>,
    begin: (stream: CopyStream) => void | Promise<void>,
    onBody: (stream: CopyStream, body: Uint8Array) => void,
  ): Promise<void> {
    const ended = Promise.withResolvers<void>();
    const receiver: CopyReceiver = {
      onCopyData: (bytes, offset, length) => onBody(stream, bytes.slice(offset, offset + length)),
      onCopyEnd: () => ended.resolve(),
    };
    const stream = session.copyBoth(receiver);
    await begin(stream);
    await ended.promise;
    this.#status.delete(stream);
  }
}

/** One `w` message. */
export function sendWal(
  stream: CopyStream,
  startLsn: number,
  wal: Uint8Array,
  serverEndLsn = startLsn + wal.length,
): void {
  const message = new Uint8Array(XLOG_DATA_HEADER_BYTES + wal.length);
  writeXLogDataHeader(new DataView(message.buffer), 0, startLsn, serverEndLsn, 0, wal.length);
  message.set(wal, XLOG_DATA_HEADER_BYTES);
  stream.sendMessages(message);
}

export function sendKeepalive(stream: CopyStream, serverEndLsn: number, isReplyRequested = true): void {
  const message = new Uint8Array(KEEPALIVE_BYTES);
  writeKeepalive(new DataView(message.buffer), 0, serverEndLsn, 0, isReplyRequested);
  stream.sendMessages(message);
}
