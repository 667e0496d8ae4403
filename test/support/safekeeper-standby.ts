import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import { formatLsn } from '../../src/base/lsn.ts';
import { giveTo } from '../../src/io/node/unprivileged-account.ts';
import { copyDirectory } from './cluster-template.ts';
import { type Setting, StockPostgres } from './stock-postgres.ts';

const POLL_INTERVAL_MS = 20;

export interface StandbyOptions {
  /** The server whose standby it is to be. */
  readonly primary: StockPostgres;
  /** The primary's data directory when the timeline began. It is copied, below the primary's directory. */
  readonly initialDirectory: string;
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** libpq doors of safekeepers, to be tried in this order. */
  readonly ports: readonly number[];
  readonly settings?: Readonly<Record<string, Setting>>;
}

/** Makes a stock hot standby that follows safekeepers, and nobody else. Does not start it. */
export async function makeStandby(options: StandbyOptions): Promise<StockPostgres> {
  const { primary, initialDirectory, ports, settings } = options;
  const dataDirectory = join(primary.rootDirectory, `standby-${ports.join('-')}`);
  await copyDirectory(initialDirectory, dataDirectory);
  const signalFile = join(dataDirectory, 'standby.signal');
  await writeFile(signalFile, '');
  await giveTo(primary.account, signalFile);
  return StockPostgres.create({
    major: 17,
    pgBin: primary.binDirectory,
    dataDirectory,
    parentDirectory: primary.rootDirectory,
    settings: {
      fsync: false,
      hot_standby: true,
      primary_conninfo: safekeeperConninfo(options),
      synchronous_standby_names: '',
      ...settings,
    },
  });
}

/** How a libpq client names a timeline and the safekeepers that it may be had from. */
export function safekeeperConninfo(place: Pick<StandbyOptions, 'tenantId' | 'timelineId' | 'ports'>): string {
  const { tenantId, timelineId, ports } = place;
  const hosts = ports.map(() => '127.0.0.1').join(',');
  const options = `-c tenant_id=${tenantId} timeline_id=${timelineId}`;
  return `host=${hosts} port=${ports.join(',')} user=varve application_name=standby options='${options}'`;
}

/** Waits until a standby has replayed the WAL up to `lsn`. */
export async function untilReplayed(standby: StockPostgres, lsn: number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const client = await standby.connect();
  try {
    for (;;) {
      const { rows } = await client.query<{ done: boolean; replayed: string }>(
        'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done, pg_last_wal_replay_lsn() AS replayed',
        [formatLsn(lsn)],
      );
      if (rows[0]?.done === true) return;
      if (performance.now() > deadline) {
        throw new Error(
          `the standby has replayed up to ${rows[0]?.replayed}, not ${formatLsn(lsn)}; its log ends:\n${await standby.logTail()}`,
        );
      }
      await delay(POLL_INTERVAL_MS);
    }
  } finally {
    await client.end();
  }
}
