import { BadRequestError, VarveError } from '../../base/errors.ts';
import { isMember, type MembershipConfiguration } from '../../contracts/membership.ts';
import type {
  PullTimelineRequest,
  PullTimelineResult,
  TimelineKey,
  TimelineStatus,
} from '../../contracts/safekeeper-api.ts';
import type { SafekeeperClient } from '../../http/safekeeper-client.ts';
import type { Files } from '../../io/files.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { Timelines } from '../timeline/timelines.ts';
import { installSnapshot } from './install-snapshot.ts';

/** What is asked of another safekeeper. */
export type PullSource = Pick<SafekeeperClient, 'timelineStatus' | 'snapshot'>;

export interface PullDoors {
  readonly nodeId: number;
  readonly timelines: Timelines;
  readonly files: Files;
  /** The HTTP API at a base URL. */
  readonly sourceAt: (baseUrl: string) => PullSource;
}

interface Donor {
  readonly host: string;
  readonly source: PullSource;
  readonly status: TimelineStatus;
}

/**
 * Copies a timeline from the best of its other safekeepers, whole or not at all. A timeline that is here already gets
 * the configuration, and nothing else.
 *
 * @throws BadRequestError / NOT_A_MEMBER, ‘conflict’ / STALE_GENERATION where somebody knows a newer configuration,
 * ‘unavailable’ / TOO_FEW_ANSWERS, DONOR_CHANGED, ‘not-found’ / TIMELINE_DELETED
 */
export async function pullTimeline(
  doors: PullDoors,
  request: PullTimelineRequest,
  signal: AbortSignal,
): Promise<PullTimelineResult> {
  const { timelines, nodeId } = doors;
  const { tenant_id, timeline_id, http_hosts } = request;
  const membership = request.mconf ?? undefined;
  if (membership !== undefined) checkMember(membership, nodeId);
  const existing = timelines.find(tenant_id, timeline_id);
  if (existing !== undefined) return adopt(existing, membership);
  const key = { tenant_id, timeline_id };
  const donor = await findDonor(doors, key, http_hosts, signal);
  const wanted = membership ?? donor.status.mconf;
  checkMember(wanted, nodeId);
  checkGeneration(donor.status, wanted);
  let isInstalled = false;
  const timeline = await timelines.install(tenant_id, timeline_id, wanted.generation, async (directory) => {
    await copy(doors, donor, key, wanted, directory, signal);
    isInstalled = true;
  });
  return isInstalled ? { safekeeper_host: donor.host } : adopt(timeline, membership);
}

/** Generation 0 has no members, and excludes nobody. */
function checkMember(membership: MembershipConfiguration, nodeId: number): void {
  if (membership.generation === 0 || isMember(membership, nodeId)) return;
  throw new BadRequestError(
    'NOT_A_MEMBER',
    `safekeeper ${nodeId} is not a member of generation ${membership.generation}`,
  );
}

function checkGeneration({ mconf }: TimelineStatus, wanted: MembershipConfiguration): void {
  if (mconf.generation <= wanted.generation) return;
  throw new VarveError(
    'conflict',
    'STALE_GENERATION',
    `generation ${wanted.generation} was asked for, and ${mconf.generation} is known already`,
  );
}

async function adopt(
  timeline: Timeline,
  membership: MembershipConfiguration | undefined,
): Promise<PullTimelineResult> {
  if (membership !== undefined) {
    using resident = await timeline.stay('state');
    await resident.acceptor.run((it) => it.switchMembership(membership));
  }
  return { safekeeper_host: null };
}

/**
 * The one with the newest log of those that answer; all but one have to. What is committed is on a majority, so it is on
 * one of these, and the newest log has it.
 */
async function findDonor(
  { sourceAt }: PullDoors,
  key: TimelineKey,
  hosts: readonly string[],
  signal: AbortSignal,
): Promise<Donor> {
  const answers = await Promise.allSettled(
    hosts.map(async (host) => {
      const source = sourceAt(host);
      return { host, source, status: await source.timelineStatus(key, signal) };
    }),
  );
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  if (found.length < Math.max(1, hosts.length - 1)) {
    const failed = answers.find((answer) => answer.status === 'rejected');
    throw new VarveError(
      'unavailable',
      'TOO_FEW_ANSWERS',
      `${found.length} of ${hosts.length} safekeepers tell where the timeline is`,
      {},
      failed?.reason,
    );
  }
  const newest = Math.max(...found.map(({ status }) => status.mconf.generation));
  const [first, ...others] = found as [Donor, ...Donor[]];
  const best = others.reduce((one, other) => (isNewer(other.status, one.status) ? other : one), first);
  return { ...best, status: { ...best.status, mconf: configurationOf(found, newest) } };
}

/** The newest configuration that anybody knows. */
function configurationOf(found: readonly Donor[], generation: number): MembershipConfiguration {
  const knower = found.find(({ status }) => status.mconf.generation === generation) as Donor;
  return knower.status.mconf;
}

function isNewer(one: TimelineStatus, other: TimelineStatus): boolean {
  if (one.acceptor_state.epoch !== other.acceptor_state.epoch) {
    return one.acceptor_state.epoch > other.acceptor_state.epoch;
  }
  return one.flush_lsn > other.flush_lsn;
}

async function copy(
  { files, nodeId }: PullDoors,
  { source, status, host }: Donor,
  key: TimelineKey,
  membership: MembershipConfiguration,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const archive = await source.snapshot(key, nodeId, signal);
  const installed = await installSnapshot(archive, {
    files,
    directory,
    key,
    membership,
    minFlushLsn: status.flush_lsn,
    origin: host,
  });
  const after = await source.timelineStatus(key, signal);
  checkGeneration(after, membership);
  const { term } = after.acceptor_state;
  if (term === status.acceptor_state.term && term === installed.term) return;
  throw new VarveError('unavailable', 'DONOR_CHANGED', `the donor came to term ${term} during the copy`);
}
