import { VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import type { EndpointManager, EndpointSpec, RunningEndpoint } from '../../contracts/endpoint-manager.ts';
import { majorityOf } from '../../contracts/membership.ts';
import { wholeTenant } from '../../contracts/tenant-shard-id.ts';
import type { ControlParts } from '../parts.ts';

/** A start that takes longer is looked into: it may wait for what will never be. */
const PATIENCE_MS = 2000;

/**
 * Starts a compute, and gives up soon where so many safekeepers have lost the timeline that no majority can have it again.
 * @throws VarveError ‘precondition’ / WAL_LOST, which says how far the pageserver has it; as EndpointManager.start
 */
export async function startUnlessLost(
  parts: ControlParts,
  endpoints: EndpointManager,
  spec: EndpointSpec,
  signal: AbortSignal,
): Promise<RunningEndpoint> {
  if (spec.mode.kind !== 'primary') return await endpoints.start(spec, signal);
  // What a compute was started with it may go on with: this is given only to end the start.
  const giveUp = new AbortController();
  const over = new AbortController();
  const found = Promise.withResolvers<VarveError | undefined>();
  const timer = parts.clock.setTimer(PATIENCE_MS, () => {
    findLoss(parts, spec, AbortSignal.any([signal, over.signal])).then(found.resolve, found.reject);
  });
  try {
    const starting = endpoints.start(spec, AbortSignal.any([signal, giveUp.signal]));
    const loss = await Promise.race([found.promise, starting.then(() => undefined)]);
    if (loss === undefined) return await starting;
    giveUp.abort();
    // What it has begun is ended before anybody goes on.
    await starting.catch(() => undefined);
    throw loss;
  } finally {
    timer.cancel();
    over.abort();
  }
}

/** undefined: it is not so, or nobody knows. */
async function findLoss(
  parts: ControlParts,
  spec: EndpointSpec,
  signal: AbortSignal,
): Promise<VarveError | undefined> {
  try {
    return await askForLoss(parts, spec, signal);
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    parts.logger.warn('It is not known whether a branch was lost', { timelineId: spec.timelineId, error });
    return undefined;
  }
}

async function askForLoss(
  { nodes, database }: ControlParts,
  { tenantId, timelineId, membership }: EndpointSpec,
  signal: AbortSignal,
): Promise<VarveError | undefined> {
  const members = await nodes.members(membership.members.map(({ id }) => id));
  const key = { tenant_id: tenantId, timeline_id: timelineId };
  const answers = await Promise.allSettled(members.map(({ client }) => client.timelineStatus(key, signal)));
  const lost = answers.filter(
    (answer) =>
      answer.status === 'rejected' &&
      answer.reason instanceof VarveError &&
      answer.reason.code === 'TIMELINE_NOT_FOUND',
  ).length;
  if (members.length - lost >= majorityOf(members.length)) return undefined;
  const { client } = await nodes.pageserverOf(tenantId);
  const { last_record_lsn: lsn } = await client.timeline(
    { tenant_shard_id: wholeTenant(tenantId), timeline_id: timelineId },
    signal,
  );
  const { name } = await database.query((queries) =>
    queries
      .selectFrom('branches')
      .where('timeline_id', '=', timelineId)
      .select('name')
      .executeTakeFirstOrThrow(),
  );
  const has = `${lost} of ${members.length} safekeepers have nothing of the branch ${name} any more, and the pageserver has it up to ${formatLsn(lsn)}`;
  return new VarveError(
    'precondition',
    'WAL_LOST',
    `${has}: ‘varve branch restore ${name} --lsn ${formatLsn(lsn)}’ and ‘varve endpoint start ${name}’ go on from there`,
  );
}
