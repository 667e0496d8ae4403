import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { parseLsn } from '../../src/base/lsn.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { Ledger } from './ledger.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { WalCluster } from './wal-cluster.ts';

test('a safekeeper whose disk is full holds up nobody, and goes on when there is room again', async ({
  skip,
}) => {
  await using cluster = await WalCluster.start({
    random: new SeededRandom(process.pid),
    ledger: new Ledger(),
    segmentSizeMiB: 1,
    smallDiskBytes: 16 * 1024 * 1024,
  });
  const { server, smallDisk, tenantId, timelineId } = cluster;
  if (typeof smallDisk === 'string') return skip(`no disk that fills up: ${smallDisk}`);
  const node = cluster.safekeepers.at(-1) as SafekeeperNode;
  const flushLsn = async (): Promise<number> => {
    const key = { tenant_id: tenantId, timeline_id: timelineId };
    return (await node.client.timelineStatus(key, AbortSignal.timeout(10_000))).flush_lsn;
  };
  const insert = async (first: number): Promise<number> => {
    await server.query(
      'INSERT INTO ledger SELECT 0, i, repeat(md5(i::text), 50) FROM generate_series($1::int, $1::int + 1999) i',
      [first],
    );
    const [row] = await server.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn() AS lsn');
    return parseLsn(row?.lsn ?? '');
  };
  const firstLsn = await insert(1);
  while ((await flushLsn()) < firstLsn) await delay(10);
  await smallDisk.fill();
  const secondLsn = await insert(10_001);
  expect(await flushLsn()).toBeLessThan(secondLsn);
  await smallDisk.empty();
  while ((await flushLsn()) < secondLsn) await delay(10);
  expect(cluster.failure).toBeUndefined();
}, 60_000);
