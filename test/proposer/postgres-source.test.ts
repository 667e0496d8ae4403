// The proposer's Postgres side against a stock server.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lsn, parseLsn, toLsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { silentLogger } from '../../src/observe/log.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { formatSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { connectToServer, identifyServer, type ServerIdentity } from '../../src/proposer/postgres-server.ts';
import { PostgresSource, type PostgresSourceOptions } from '../../src/proposer/postgres-source.ts';
import { RecordGuard } from '../../src/proposer/record-guard.ts';
import type { WalSink } from '../../src/proposer/wal-source.ts';
import { StockPostgres } from '../support/stock-postgres.ts';

const doors = {
  sockets: nodeSockets((error) => {
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
  logger: silentLogger,
};
const NAME = 'varve';

let server: StockPostgres;
let identity: ServerIdentity;
let watcher: Client;

const serverAddress = () => ({
  address: { path: join(server.socketDirectory, `.s.PGSQL.${server.port}`) },
  user: 'postgres',
  password: undefined,
});

async function identify(): Promise<ServerIdentity> {
  const client = await connectToServer(serverAddress(), 'test', doors, new AbortController().signal);
  const found = await identifyServer(client);
  await client.close();
  return found;
}

/** A sink that keeps all WAL, and lets somebody wait for it. */
class CollectingSink implements WalSink {
  readonly chunks: Uint8Array[] = [];
  endLsn: number;
  isOpen = true;
  failure: Error | undefined;
  #waiters: (() => void)[] = [];

  constructor(startLsn: number) {
    this.endLsn = startLsn;
  }

  write(chunk: Uint8Array): boolean {
    if (this.failure !== undefined) throw this.failure;
    this.chunks.push(chunk);
    this.endLsn += chunk.length;
    for (const wake of this.#waiters.splice(0)) wake();
    return this.isOpen;
  }

  async until(lsn: number): Promise<void> {
    while (this.endLsn < lsn) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}

interface Following extends AsyncDisposable {
  readonly source: PostgresSource;
  readonly sink: CollectingSink;
  readonly running: Promise<void>;
}

function follow(startLsn: number, options: Partial<PostgresSourceOptions> = {}): Following {
  const life = new AbortController();
  const source = new PostgresSource(
    { ...serverAddress(), applicationName: NAME, expectations: identity, ...options },
    doors,
  );
  const sink = new CollectingSink(startLsn);
  const running = source.run(toLsn(startLsn), sink, life.signal);
  // Tests look at how it ends; some only when they have waited for something else.
  running.catch(() => undefined);
  return {
    source,
    sink,
    running,
    [Symbol.asyncDispose]: async () => {
      life.abort();
      // Cancelled, unless it had ended before.
      await running.catch(() => undefined);
    },
  };
}

async function flushLsn(): Promise<Lsn> {
  const { rows } = await watcher.query('select pg_current_wal_flush_lsn() as lsn');
  return parseLsn(rows[0].lsn);
}

/** Resolves once the server's view of its standby fits. */
async function standbyShows(condition: string): Promise<void> {
  for (;;) {
    const { rows } = await watcher.query(
      `select 1 from pg_stat_replication where application_name = '${NAME}' and ${condition}`,
    );
    if (rows.length > 0) return;
    await nodeClock.yieldToOthers();
  }
}

async function untilSlotIsFree(): Promise<void> {
  for (;;) {
    const { rows } = await watcher.query('select 1 from pg_replication_slots where active');
    if (rows.length === 0) return;
    await nodeClock.yieldToOthers();
  }
}

beforeAll(async () => {
  server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: {
      fsync: false,
      synchronous_standby_names: NAME,
      wal_keep_size: '512MB',
      wal_sender_timeout: '1s',
      autovacuum: false,
      bgwriter_lru_maxpages: 0,
    },
  });
  await server.start();
  watcher = await server.connect({});
  watcher.on('error', () => undefined);
  await watcher.query('set synchronous_commit = local');
  await watcher.query('create table kept (n int)');
  identity = await identify();
}, 60_000);

afterAll(async () => {
  await watcher.end();
  await server.dispose();
});

test('the server says what it is', () => {
  expect(identity).toMatchObject({ timelineId: 1, segmentBytes: 1024 * 1024 });
  expect(Math.floor(identity.pgVersion / 10_000)).toBe(17);
});

test('a commit waits until the source was told that it is committed, and no longer', async () => {
  await using following = follow(await flushLsn());
  const { source, sink } = following;
  source.committed(toLsn(sink.endLsn));
  await standbyShows("state = 'streaming'");
  const writer = await server.connect({});
  let isDone = false;
  const inserted = writer.query('insert into kept values (1)').then(() => {
    isDone = true;
  });
  await standbyShows('sent_lsn > flush_lsn');
  await sink.until(await flushLsn());
  expect(isDone).toBe(false);
  source.committed(toLsn(sink.endLsn - 8));
  await standbyShows('flush_lsn is not null');
  source.committed(toLsn(sink.endLsn));
  await inserted;
  const { rows } = await watcher.query(
    'select write_lsn = flush_lsn and flush_lsn = replay_lsn as same from pg_stat_replication',
  );
  expect(rows).toEqual([{ same: true }]);
  await writer.end();
});

test('more than was received is never said to be committed', async () => {
  await using following = follow(await flushLsn());
  following.source.committed(toLsn(following.sink.endLsn + 1024 ** 3));
  await standbyShows('flush_lsn = sent_lsn');
  const { rows } = await watcher.query(
    'select max(flush_lsn) <= max(sent_lsn) as clamped from pg_stat_replication',
  );
  expect(rows).toEqual([{ clamped: true }]);
});

test('the WAL is that of the files, from the border of a page or segment too, and the guard can follow it', async () => {
  await watcher.query('insert into kept select generate_series(1, 30000)');
  const end = await flushLsn();
  const segmentBytes = identity.segmentBytes;
  const segmentStart = end - (end % segmentBytes);
  for (const start of [segmentStart, segmentStart + 8192, segmentStart + 8192 + 24]) {
    await using following = follow(start);
    await following.sink.until(end);
    const received = Buffer.concat(following.sink.chunks).subarray(0, end - start);
    const name = formatSegmentName(1, segmentStart / segmentBytes, segmentBytes);
    const file = readFileSync(join(server.dataDirectory, 'pg_wal', name));
    expect(received.equals(file.subarray(start - segmentStart, end - segmentStart))).toBe(true);
  }
  const { rows } = await watcher.query('select pg_switch_wal() as lsn');
  await watcher.query('insert into kept select generate_series(1, 30000)');
  const last = await flushLsn();
  await using following = follow(end);
  await following.sink.until(last);
  const guard = new RecordGuard(end, { ...identity, version: POSTGRES_17 });
  for (const chunk of following.sink.chunks) guard.take(chunk);
  expect(guard.recordEndLsn).toBe(following.sink.endLsn);
  expect(guard.records).toBeGreaterThan(30_000);
  expect(parseLsn(rows[0].lsn)).toBeLessThan(last);
});

test('a full sink holds the server back, and the server does not give us up', async () => {
  const start = await flushLsn();
  await using following = follow(start, { statusIntervalMs: 100 });
  const { sink, source } = following;
  sink.isOpen = false;
  source.committed(start);
  await watcher.query('insert into kept select generate_series(1, 50000)');
  const end = await flushLsn();
  await sink.until(start + 1);
  const held = sink.endLsn;
  const { rows } = await watcher.query('select pid from pg_stat_replication');
  await watcher.query('select pg_sleep(2.5)');
  expect(sink.endLsn).toBe(held);
  sink.isOpen = true;
  source.resume();
  await sink.until(end);
  expect((await watcher.query('select pid from pg_stat_replication')).rows).toEqual(rows);
});

test('what hot standbys may still see reaches the server', async () => {
  await using following = follow(await flushLsn());
  following.source.committed(toLsn(following.sink.endLsn));
  await standbyShows("state = 'streaming'");
  const { rows } = await watcher.query('select txid_current()::text as xid');
  following.source.hotStandbyFeedback({ time: 1n, xmin: BigInt(rows[0].xid), catalogXmin: 0n });
  await standbyShows(`backend_xmin::text = '${rows[0].xid}'`);
});

test('a connection that the server ends is made again, where it was', async () => {
  await using following = follow(await flushLsn());
  following.source.committed(toLsn(following.sink.endLsn));
  await standbyShows("state = 'streaming'");
  const { rows } = await watcher.query('select pid, pg_terminate_backend(pid) from pg_stat_replication');
  await standbyShows(`pid <> ${rows[0].pid}`);
  await watcher.query('insert into kept values (3)');
  await following.sink.until(await flushLsn());
});

test('a slot that another connection still holds is waited for', async () => {
  await watcher.query(`select pg_create_physical_replication_slot('held', true)`);
  {
    await using waiting = await (async () => {
      await using _holder = follow(await flushLsn(), { slot: 'held' });
      await standbyShows("state = 'streaming'");
      const second = follow(await flushLsn(), { slot: 'held' });
      for (;;) {
        const log = await server.logTail();
        if (log.includes('replication slot "held" is active')) return second;
        await nodeClock.yieldToOthers();
      }
    })();
    await watcher.query('insert into kept values (5)');
    await waiting.sink.until(await flushLsn());
  }
  await untilSlotIsFree();
  await watcher.query(`select pg_drop_replication_slot('held')`);
});

test('another system, and a sink that fails, end it', async () => {
  const expectations = { ...identity, systemIdentifier: 1n };
  await using wrong = follow(await flushLsn(), { expectations });
  await expect(wrong.running).rejects.toMatchObject({ kind: 'conflict', code: 'WRONG_SERVER' });
  await using failing = follow(await flushLsn());
  failing.sink.failure = new Error('it is full of holes');
  await watcher.query('insert into kept values (4)');
  await expect(failing.running).rejects.toThrow('full of holes');
});

test('a shutdown is waited for until all is committed, and then is the end; a server that is killed is lost', async () => {
  const start = await flushLsn();
  await using following = follow(start);
  const { source, sink, running } = following;
  source.committed(start);
  await standbyShows("state = 'streaming'");
  await watcher.end();
  const write = sink.write.bind(sink);
  sink.write = (chunk) => {
    const isOpen = write(chunk);
    source.committed(toLsn(sink.endLsn));
    return isOpen;
  };
  await Promise.all([server.stop('fast'), running]);

  await server.start();
  watcher = await server.connect({});
  watcher.on('error', () => undefined);
  await using other = follow(await flushLsn(), { reconnectForMs: 200 });
  other.source.committed(toLsn(other.sink.endLsn));
  await standbyShows("state = 'streaming'");
  await server.crash();
  await expect(other.running).rejects.toMatchObject({ kind: 'unavailable', code: 'SOURCE_LOST' });
});
