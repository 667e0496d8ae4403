import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { SafetyViolation } from '../checkers/safety-violation.ts';
import type { WalPiece } from '../checkers/snapshots.ts';
import type { Cluster } from './cluster.ts';
import type { ComputeNode } from './compute-node.ts';
import { heal } from './inject.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { TENANT, TIMELINE } from './timeline-identity.ts';

/** Simulated: within it, what has been healed must work again. */
const PATIENCE_MS = 60_000;
/** The last compute must get so much committed. */
const NEW_WAL_BYTES = 2000;
const LOOK_INTERVAL_US = 5000;

/**
 * The end of a run: everything is healed, and one last compute is started. It must be elected, get new WAL committed,
 * and bring all members up to date; then all that was ever acknowledged is read and compared.
 * @throws SafetyViolation
 */
export async function settle(cluster: Cluster): Promise<void> {
  const { kernel, computes, observer, membership } = cluster;
  heal(cluster);
  const deadlineMs = kernel.nowUs / 1000 + PATIENCE_MS;
  const compute = computes[0] as ComputeNode;
  await runUntil(cluster, deadlineMs, 'the safekeepers come up', () => cluster.safekeepers.every(isUp));
  const keepRunning = (): void => {
    // One that finds the log of another ends with reason, and has a successor.
    if (!compute.isRunning) cluster.startCompute(compute);
  };
  await runUntil(cluster, deadlineMs, 'a membership change ends', () => {
    if (!membership.isSettled) keepRunning();
    return membership.isSettled;
  });
  const startLsn = observer.commitLsn;
  await runUntil(cluster, deadlineMs, 'new WAL is committed', () => {
    keepRunning();
    return compute.proposer !== undefined && compute.proposer.commitLsn >= startLsn + NEW_WAL_BYTES;
  });
  const committedLsn = observer.commitLsn;
  await runUntil(cluster, deadlineMs, 'all members have all of it', () =>
    members(cluster).every(({ acceptor }) => (acceptor?.commitLsn ?? 0) >= committedLsn),
  );
  compute.finish();
  await runUntil(cluster, deadlineMs, 'the last compute stops', () => !compute.isRunning);
  await readAll(cluster);
}

function isUp({ safekeeper }: SafekeeperNode): boolean {
  return safekeeper !== undefined;
}

function members({ membership, safekeepers }: Cluster): SafekeeperNode[] {
  return membership.current.members.map(({ id }) => safekeepers[id - 1] as SafekeeperNode);
}

async function runUntil(
  { kernel, observer, safekeepers, membership }: Cluster,
  deadlineMs: number,
  what: string,
  isSo: () => boolean,
): Promise<void> {
  let isDone = false;
  const look = (): void => {
    isDone = isSo();
    if (!isDone) kernel.after(undefined, LOOK_INTERVAL_US, look);
  };
  look();
  const reason = await kernel.run({
    untilMs: deadlineMs,
    until: () => {
      observer.observe();
      return isDone;
    },
  });
  observer.compare();
  if (reason === 'until') return;
  const states = safekeepers.map(({ id, acceptor, durable }) => {
    if (acceptor === undefined) return `${id} ${durable?.failure?.message ?? 'closed'}`;
    const { term, flushLsn, commitLsn, membership: own } = acceptor;
    return `${id} term ${term} flush ${formatLsn(flushLsn)} commit ${formatLsn(commitLsn)} generation ${own.generation}`;
  });
  throw new SafetyViolation(
    'progress',
    `${what}: not within ${PATIENCE_MS} ms (${reason}); generation ${membership.current.generation}; ${states.join('; ')}`,
  );
}

/** Reads what each member has, as a reader of WAL gets it. */
async function readAll(cluster: Cluster): Promise<void> {
  const { observer, character, kernel } = cluster;
  // Reading takes time, in which another compute may get more acknowledged.
  const acknowledged = observer.acknowledged.snapshot();
  const readings = new Map<number, WalPiece>();
  for (const node of members(cluster)) {
    const { safekeeper, id } = node;
    if (safekeeper === undefined) continue;
    const bytes = await kernel.perform(async () => {
      using timeline = await safekeeper.timelines.get(TENANT, TIMELINE).stay('wal');
      const { flushLsn } = timeline.acceptor.acceptor;
      const target = new Uint8Array(flushLsn - character.startLsn);
      for (let at = 0; at < target.length; ) {
        at +=
          (await timeline.acceptor.wal?.read(
            target,
            at,
            target.length - at,
            (character.startLsn + at) as Lsn,
          )) ?? 0;
      }
      return target;
    });
    readings.set(id, { beginLsn: character.startLsn, bytes });
  }
  acknowledged.check(cluster.membership.current.members.length, readings, observer.written);
}
