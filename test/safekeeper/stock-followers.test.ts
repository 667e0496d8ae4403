// PostgreSQL's own programs take WAL from a safekeeper as from any server.
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { formatLsn, parseLsn } from '../../src/base/lsn.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { makeStandby, safekeeperConninfo, untilReplayed } from '../support/safekeeper-standby.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import type { StockPostgres } from '../support/stock-postgres.ts';
import { Ledger } from '../torture/ledger.ts';
import type { SafekeeperNode } from '../torture/safekeeper-node.ts';
import { WalCluster } from '../torture/wal-cluster.ts';

const WAIT_MS = 30_000;
const STANDBY_SETTINGS = { wal_retrieve_retry_interval: '50ms' };

let cluster: WalCluster;
const standbys: StockPostgres[] = [];

beforeAll(async () => {
  cluster = await WalCluster.start({
    random: new SeededRandom(process.pid),
    ledger: new Ledger(),
    segmentSizeMiB: 1,
    smallDiskBytes: 64 * 1024 * 1024,
  });
});

afterEach(async () => {
  for (const standby of standbys.splice(0)) await standby.dispose();
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

async function follow(...nodes: SafekeeperNode[]): Promise<StockPostgres> {
  const { server, initialDirectory, tenantId, timelineId } = cluster;
  const standby = await makeStandby({
    primary: server,
    initialDirectory,
    tenantId,
    timelineId,
    ports: nodes.map(({ options }) => options.pgPort),
    settings: STANDBY_SETTINGS,
  });
  standbys.push(standby);
  await standby.start();
  return standby;
}

/** Commits a row, and gives where the WAL ends with it. */
async function commit(sequence: number): Promise<number> {
  const { server } = cluster;
  await server.query('INSERT INTO ledger VALUES (0, $1, $2)', [sequence, 'x'.repeat(100)]);
  const [row] = await server.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn');
  return parseLsn(row?.lsn ?? '');
}

async function rows(standby: StockPostgres): Promise<number[]> {
  const found = await standby.query<{ sequence: number }>('SELECT sequence FROM ledger ORDER BY sequence');
  return found.map(({ sequence }) => sequence);
}

test('a stock hot standby follows a safekeeper, also after that was killed', async () => {
  const node = cluster.safekeepers[0] as SafekeeperNode;
  const firstLsn = await commit(1);
  const standby = await follow(node);
  await untilReplayed(standby, firstLsn, WAIT_MS);
  expect(await rows(standby)).toEqual([1]);
  const [receiver] = await standby.query('SELECT status, sender_port FROM pg_stat_wal_receiver');
  expect(receiver).toEqual({ status: 'streaming', sender_port: node.options.pgPort });

  await node.restart(0, 0);
  const secondLsn = await commit(2);
  await untilReplayed(standby, secondLsn, WAIT_MS);
  expect(await rows(standby)).toEqual([1, 2]);

  // From its own files, and then from where those end.
  await standby.crash();
  const thirdLsn = await commit(3);
  await standby.start();
  await untilReplayed(standby, thirdLsn, WAIT_MS);
  expect(await rows(standby)).toEqual([1, 2, 3]);
}, 60_000);

test('with several hosts it goes to another safekeeper when one has gone', async () => {
  const [first, second] = cluster.safekeepers as [SafekeeperNode, SafekeeperNode];
  const standby = await follow(first, second);
  await untilReplayed(standby, await commit(11), WAIT_MS);
  await first.stop();
  try {
    await untilReplayed(standby, await commit(12), WAIT_MS);
    expect(await rows(standby)).toEqual(expect.arrayContaining([11, 12]));
    const [receiver] = await standby.query('SELECT sender_port FROM pg_stat_wal_receiver');
    expect(receiver).toEqual({ sender_port: second.options.pgPort });
  } finally {
    await first.start();
  }
}, 60_000);

const hasReceiveWal = (process.env['PATH'] ?? '')
  .split(delimiter)
  .some((directory) => directory !== '' && existsSync(join(directory, 'pg_receivewal')));

test.skipIf(!hasReceiveWal)(
  'pg_receivewal, where it is installed, makes segments that are the server’s',
  async () => {
    const { server, startLsn, segmentBytes, tenantId, timelineId } = cluster;
    const node = cluster.safekeepers[0] as SafekeeperNode;
    const directory = mkdtempSync(join(tmpdir(), 'varve-receivewal-'));
    try {
      // It goes on behind the last segment that is there; else it would begin where the WAL ends.
      const first = formatSegmentName(1, segmentNumber(startLsn, segmentBytes), segmentBytes);
      const walDirectory = join(server.dataDirectory, 'pg_wal');
      copyFileSync(join(walDirectory, first), join(directory, first));
      await server.query(
        `INSERT INTO ledger SELECT 1, i, repeat(md5(i::text), 50) FROM generate_series(1, 3000) i`,
      );
      const endLsn = await commit(21);
      // It stops at the first WAL behind the end that it was given.
      await commit(22);
      const conninfo = safekeeperConninfo({ tenantId, timelineId, ports: [node.options.pgPort] });
      const child = spawn(
        'pg_receivewal',
        ['--directory', directory, '--no-loop', '--endpos', formatLsn(endLsn), '--dbname', conninfo],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      const [complaint, code] = await Promise.all([
        text(child.stderr),
        new Promise<number | null>((resolve) => child.once('close', resolve)),
      ]);
      expect({ code, complaint }).toMatchObject({ code: 0 });
      const segments = readdirSync(directory).filter((name) => name !== first && !name.endsWith('.partial'));
      expect(segments.length).toBe(
        segmentNumber(endLsn, segmentBytes) - segmentNumber(startLsn, segmentBytes) - 1,
      );
      expect(segments.length).toBeGreaterThan(2);
      for (const name of segments) {
        const own = readFileSync(join(walDirectory, name));
        expect(readFileSync(join(directory, name)).equals(own), name).toBe(true);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
  60_000,
);
