import { AssertionError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { type Lsn, parseLsn } from '../../base/lsn.ts';
import { majorityOf } from '../../contracts/membership.ts';
import type { TimelineInfo } from '../../contracts/pageserver-api-timeline.ts';
import { wholeTenant } from '../../contracts/tenant-shard-id.ts';
import type { Database } from '../database/database.ts';
import { commitAncestors } from './commit-ancestors.ts';
import { type HeadDoors, headOf } from './head.ts';
import type { Member, StorageNodes } from './storage-nodes.ts';

/** server_version_num of a major's first release: safekeepers compare majors. */
const VERSION_OF_MAJOR = 10_000;
/** How long a pageserver may take to have what is committed, within one attempt. */
const BEHIND_MS = 20_000;

/** Where a branch begins. */
export type BranchPoint =
  | { readonly kind: 'head' }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  /** Milliseconds since 1970. */
  | { readonly kind: 'time'; readonly timeMs: number };

export interface TimelineKey {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** What is done to timelines in storage. Each of these may be repeated, whatever came of it before. */
export class TimelineEffects {
  readonly #doors: HeadDoors;

  constructor(doors: HeadDoors) {
    this.#doors = doors;
  }

  get #nodes(): StorageNodes {
    return this.#doors.nodes;
  }

  get #database(): Database {
    return this.#doors.database;
  }

  /** As commitAncestors. */
  commitAncestors(timelineId: TimelineId, signal: AbortSignal): Promise<void> {
    return commitAncestors(this.#doors, timelineId, signal);
  }

  /** Tells the tenant's pageserver that it has it, in the generation that is written down. */
  async attach(tenantId: TenantId, signal: AbortSignal): Promise<void> {
    const { client } = await this.#nodes.pageserverOf(tenantId);
    const row = await this.#database.query((queries) =>
      queries
        .selectFrom('tenants')
        .where('tenant_id', '=', tenantId)
        .select('generation')
        .executeTakeFirstOrThrow(),
    );
    const location = {
      mode: 'AttachedSingle',
      generation: row.generation,
      shard_number: 0,
      shard_count: 0,
      tenant_conf: {},
    } as const;
    await client.setLocation(wholeTenant(tenantId), location, 0, signal);
  }

  /** The first timeline of a tenant: a new cluster. */
  async makeFirst(
    { tenantId, timelineId }: TimelineKey,
    major: number,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const { client } = await this.#nodes.pageserverOf(tenantId);
    return await client.createTimeline(
      wholeTenant(tenantId),
      { new_timeline_id: timelineId, pg_version: major },
      signal,
    );
  }

  /**
   * A timeline that begins on another one.
   * @param mayBeThere an attempt has been made before: where that has made it, it stays as it is
   * @throws VarveError ‘precondition’ / BAD_BRANCH_POINT where the history does not go there
   */
  async makeBranch(
    { tenantId, timelineId }: TimelineKey,
    ancestorId: TimelineId,
    point: BranchPoint,
    mayBeThere: boolean,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const { client } = await this.#nodes.pageserverOf(tenantId);
    const shard = wholeTenant(tenantId);
    if (mayBeThere) {
      const existing = await unlessMissing(
        client.timeline({ tenant_shard_id: shard, timeline_id: timelineId }, signal),
      );
      if (existing !== undefined) return existing;
    }
    const names = { new_timeline_id: timelineId, ancestor_timeline_id: ancestorId };
    if (point.kind === 'lsn') {
      await this.#checkLsn({ tenantId, timelineId: ancestorId }, point.lsn, signal);
      return await client.createBranch(shard, { ...names, ancestor_start_lsn: point.lsn }, signal);
    }
    const lsn = await headOf(this.#doors, ancestorId, signal);
    if (point.kind === 'head') {
      return await client.createBranch(shard, { ...names, ancestor_start_lsn: lsn }, signal);
    }
    // What was committed by then may still be on its way.
    await this.#received({ tenantId, timelineId: ancestorId }, lsn, signal);
    return await client.createBranch(shard, { ...names, ancestor_start_time: point.timeMs }, signal);
  }

  /** @throws VarveError ‘precondition’ / BAD_BRANCH_POINT for an LSN that is still to come */
  async #checkLsn(key: TimelineKey, lsn: Lsn, signal: AbortSignal): Promise<void> {
    const { client } = await this.#nodes.pageserverOf(key.tenantId);
    const info = await client.timeline(
      { tenant_shard_id: wholeTenant(key.tenantId), timeline_id: key.timelineId },
      signal,
    );
    if (lsn <= info.last_record_lsn || lsn <= (await headOf(this.#doors, key.timelineId, signal))) return;
    throw new VarveError('precondition', 'BAD_BRANCH_POINT', 'the branch has not come so far yet', { lsn });
  }

  async #received({ tenantId, timelineId }: TimelineKey, lsn: Lsn, signal: AbortSignal): Promise<void> {
    const { client } = await this.#nodes.pageserverOf(tenantId);
    const wanted = new Map([[timelineId, lsn]]);
    if ((await client.waitLsn(wholeTenant(tenantId), wanted, BEHIND_MS, signal)) === 'all') return;
    throw new VarveError('unavailable', 'PAGESERVER_BEHIND', 'the pageserver has not got all WAL yet', {
      lsn,
    });
  }

  /**
   * Makes the timeline on its safekeepers: on a majority at least.
   * @returns those that have not got it
   * @throws what they fail of, where these are too many
   */
  async makeOnSafekeepers(
    { tenantId, timelineId }: TimelineKey,
    info: TimelineInfo,
    startLsn: Lsn,
    signal: AbortSignal,
  ): Promise<number[]> {
    const mconf = await this.#nodes.membershipOf(timelineId);
    const members = await this.#nodes.members(mconf.members.map(({ id }) => id));
    const request = {
      tenant_id: tenantId,
      timeline_id: timelineId,
      mconf,
      pg_version: info.pg_version * VERSION_OF_MAJOR,
      system_id: info.system_identifier,
      wal_seg_size: info.wal_segment_size,
      start_lsn: startLsn,
    };
    return await onMajority(members, (client) => client.createTimeline(request, signal));
  }

  /** From where it was made before, for a safekeeper that was away then. */
  async makeOnMissing(
    { tenantId, timelineId }: TimelineKey,
    ids: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = await this.#nodes.pageserverOf(tenantId);
    const info = await client.timeline(
      { tenant_shard_id: wholeTenant(tenantId), timeline_id: timelineId },
      signal,
    );
    const startLsn = await readStart(this.#database, timelineId);
    const mconf = await this.#nodes.membershipOf(timelineId);
    for (const { client: safekeeper } of await this.#nodes.members(ids)) {
      await safekeeper.createTimeline(
        {
          tenant_id: tenantId,
          timeline_id: timelineId,
          mconf,
          pg_version: info.pg_version * VERSION_OF_MAJOR,
          system_id: info.system_identifier,
          wal_seg_size: info.wal_segment_size,
          start_lsn: startLsn,
        },
        signal,
      );
    }
  }

  /** Removes a timeline from all that have it, the pageserver last. It may be gone, or never have been made. */
  async remove({ tenantId, timelineId }: TimelineKey, signal: AbortSignal): Promise<void> {
    const { members } = await this.#nodes.membershipOf(timelineId);
    const key = { tenant_id: tenantId, timeline_id: timelineId };
    for (const { client } of await this.#nodes.members(members.map(({ id }) => id))) {
      await unlessMissing(client.deleteTimeline(key, {}, signal));
    }
    await this.#removeFromPageserver({ tenantId, timelineId }, signal);
  }

  async #removeFromPageserver({ tenantId, timelineId }: TimelineKey, signal: AbortSignal): Promise<void> {
    const { client } = await this.#nodes.pageserverOf(tenantId);
    const key = { tenant_shard_id: wholeTenant(tenantId), timeline_id: timelineId };
    for (;;) {
      try {
        await client.deleteTimeline(key, signal);
      } catch (error) {
        if (!(error instanceof VarveError)) throw error;
        if (error.code === 'TIMELINE_NOT_FOUND') return;
        if (!isTenantMissing(error)) throw error;
        await this.attach(tenantId, signal);
      }
    }
  }

  /** Removes a tenant with all of its timelines from everywhere. */
  async removeTenant(
    tenantId: TenantId,
    safekeeperIds: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    for (const { client } of await this.#nodes.members(safekeeperIds)) {
      await client.deleteTenant(tenantId, {}, signal);
    }
    const { client } = await this.#nodes.pageserverOf(tenantId);
    await client.deleteTenant(wholeTenant(tenantId), signal);
  }
}

const isTenantMissing = ({ code }: VarveError): boolean =>
  code === 'TENANT_NOT_FOUND' || code === 'TENANT_MISSING';

/** Where a timeline's own WAL begins: of one that is made. */
async function readStart(database: Database, timelineId: TimelineId): Promise<Lsn> {
  const row = await database.query((queries) =>
    queries
      .selectFrom('timelines')
      .where('timeline_id', '=', timelineId)
      .select('start_lsn')
      .executeTakeFirstOrThrow(),
  );
  if (row.start_lsn === null) throw new AssertionError(`timeline ${timelineId} has no start`);
  return parseLsn(row.start_lsn);
}

async function unlessMissing<Result>(answer: Promise<Result>): Promise<Result | undefined> {
  try {
    return await answer;
  } catch (error) {
    const isMissing =
      error instanceof VarveError &&
      (error.code === 'TIMELINE_NOT_FOUND' || error.code === 'TIMELINE_DELETED');
    if (isMissing) return undefined;
    throw error;
  }
}

/** @returns the ids of those for which it has failed. @throws what one of them has failed of, where no majority is left */
async function onMajority(
  members: readonly Member[],
  action: (client: Member['client']) => Promise<void>,
): Promise<number[]> {
  // Nobody is to write to it.
  if (members.length === 0) return [];
  const results = await Promise.allSettled(members.map(({ client }) => action(client)));
  const failures = results.flatMap((result, index) =>
    result.status === 'rejected'
      ? [{ id: (members[index] as Member).address.id, reason: result.reason }]
      : [],
  );
  const serious = failures.find(
    ({ reason }) => !(reason instanceof VarveError) || reason.kind !== 'unavailable',
  );
  const isEnough = members.length - failures.length >= majorityOf(members.length);
  if (serious !== undefined || !isEnough) throw (serious ?? failures[0])?.reason;
  return failures.map(({ id }) => id);
}
