import { VarveError } from '../base/errors.ts';
import type { TenantId, TimelineId } from '../base/ids.ts';
import { INVALID_LSN, type Lsn } from '../base/lsn.ts';
import { checkMembership, type SafekeeperAddress } from '../contracts/membership.ts';
import type { TimelineKey } from '../contracts/safekeeper-api.ts';
import { type TenantShardId, wholeTenant } from '../contracts/tenant-shard-id.ts';
import type { PageserverClient } from '../http/pageserver-client.ts';
import type { SafekeeperClient } from '../http/safekeeper-client.ts';

/** Of the configuration that names the safekeepers. */
const FIRST_GENERATION = 1;
/** server_version_num of a major's first release: safekeepers compare majors. */
const VERSION_OF_MAJOR = 10_000;

export interface NewTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** Of PostgreSQL. */
  readonly major: number;
  readonly safekeepers: readonly { readonly address: SafekeeperAddress; readonly client: SafekeeperClient }[];
  readonly pageserver: PageserverClient;
}

export interface CreatedTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** Where its WAL goes on. */
  readonly lsn: Lsn;
}

/**
 * Makes a timeline of a new cluster, on a pageserver and on safekeepers, as a control plane would. May be repeated with the
 * same ids after a failure.
 * @throws as PageserverClient and SafekeeperClient
 */
export async function createTimeline(timeline: NewTimeline, signal: AbortSignal): Promise<CreatedTimeline> {
  const { tenantId, timelineId, major, safekeepers, pageserver } = timeline;
  const members = safekeepers.map(({ address }) => address);
  const mconf = { generation: FIRST_GENERATION, members, newMembers: undefined };
  checkMembership(mconf);
  const shard = wholeTenant(tenantId);
  await attach(pageserver, shard, signal);
  const info = await pageserver.createTimeline(
    shard,
    { new_timeline_id: timelineId, pg_version: major },
    signal,
  );
  const key = { tenant_id: tenantId, timeline_id: timelineId };
  const lsn = (await findStart(safekeepers, key, signal)) ?? info.last_record_lsn;
  await Promise.all(
    safekeepers.map(({ client }) =>
      client.createTimeline(
        {
          ...key,
          mconf,
          pg_version: major * VERSION_OF_MAJOR,
          system_id: info.system_identifier,
          wal_seg_size: info.wal_segment_size,
          start_lsn: lsn,
        },
        signal,
      ),
    ),
  );
  return { tenantId, timelineId, lsn };
}

/** Where its WAL begins on those that have it already: since then the pageserver may have taken some of it in. */
async function findStart(
  safekeepers: NewTimeline['safekeepers'],
  key: TimelineKey,
  signal: AbortSignal,
): Promise<Lsn | undefined> {
  for (const { client } of safekeepers) {
    try {
      const { timeline_start_lsn: lsn } = await client.timelineStatus(key, signal);
      if (lsn !== INVALID_LSN) return lsn;
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'TIMELINE_NOT_FOUND') throw error;
    }
  }
  return undefined;
}

async function attach(
  pageserver: PageserverClient,
  shard: TenantShardId,
  signal: AbortSignal,
): Promise<void> {
  try {
    await pageserver.tenant(shard, signal);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'TENANT_NOT_FOUND') throw error;
    // Without a generation: a pageserver that works alone gives its own.
    const location = { mode: 'AttachedSingle', shard_number: 0, shard_count: 0, tenant_conf: {} } as const;
    await pageserver.setLocation(shard, location, 0, signal);
  }
}
