import { VarveError } from '../base/errors.ts';

import type {
  BranchStatus,
  ControlNode,
  PageserverPosition,
  SafekeeperPosition,
  SystemStatus,
} from '../contracts/control-api-status.ts';
import { wholeTenant } from '../contracts/tenant-shard-id.ts';
import { bucketPosition } from './decisions/bucket-position.ts';
import type { ControlParts } from './parts.ts';

/** So long one part may take to say how far it is. */
const ANSWER_MS = 3000;

type Row = Awaited<ReturnType<typeof readBranches>>[number];

/** How far every part is on every branch, by asking them. What does not answer is said to be so. */
export async function systemStatus(
  parts: ControlParts,
  version: string,
  signal: AbortSignal,
): Promise<SystemStatus> {
  const nodes = await parts.nodes.list();
  const { count } = await parts.database.query((queries) =>
    queries
      .selectFrom('operations')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('state', 'in', ['running', 'undoing'])
      .executeTakeFirstOrThrow(),
  );
  const rows = await readBranches(parts);
  return {
    version,
    nodes: await Promise.all(nodes.map((node) => statusOfNode(parts, node, signal))),
    branches: await Promise.all(rows.map((row) => statusOfBranch(parts, nodes, row, signal))),
    operationsUnfinished: count,
  };
}

async function statusOfNode(
  { nodes, clock }: ControlParts,
  node: ControlNode,
  signal: AbortSignal,
): Promise<SystemStatus['nodes'][number]> {
  const client = node.kind === 'pageserver' ? nodes.pageserver(node) : nodes.safekeeper(node);
  const answer = await within(clock, signal, (soon) => client.status(soon));
  return { ...node, isReachable: 'value' in answer, error: 'value' in answer ? null : answer.error };
}

async function readBranches({ database }: ControlParts) {
  return await database.query(async (queries) => {
    const branches = await queries
      .selectFrom('branches')
      .innerJoin('projects', 'projects.id', 'branches.project_id')
      .innerJoin('tenants', 'tenants.tenant_id', 'branches.project_id')
      .innerJoin('timelines', 'timelines.timeline_id', 'branches.timeline_id')
      .select([
        'branches.id',
        'branches.name',
        'branches.project_id',
        'branches.timeline_id',
        'branches.state',
      ])
      .select(['projects.name as project', 'tenants.pageserver_id', 'timelines.safekeeper_ids'])
      .orderBy('projects.created_at')
      .orderBy('branches.created_at')
      .orderBy('branches.id')
      .execute();
    const endpoints = await queries
      .selectFrom('endpoints')
      .select(['id', 'branch_id', 'kind', 'state', 'port', 'error', 'start_steps'])
      .orderBy('created_at')
      .execute();
    return branches.map((branch) => ({
      ...branch,
      endpoints: endpoints
        .filter(({ branch_id }) => branch_id === branch.id)
        .map(({ start_steps, branch_id: _, ...endpoint }) => ({ ...endpoint, startSteps: [...start_steps] })),
    }));
  });
}

async function statusOfBranch(
  parts: ControlParts,
  nodes: readonly ControlNode[],
  row: Row,
  signal: AbortSignal,
): Promise<BranchStatus> {
  const computeLsn = parts.endpoints?.headOf(row.timeline_id) ?? null;
  const [safekeepers, pageserver] = await Promise.all([
    Promise.all(row.safekeeper_ids.map((id) => positionOnSafekeeper(parts, nodes, row, id, signal))),
    positionOnPageserver(parts, nodes, row, signal),
  ]);
  const { headLsn, bucketLsn } = bucketPosition(computeLsn, safekeepers, pageserver);
  return {
    projectId: row.project_id,
    project: row.project,
    branchId: row.id,
    branch: row.name,
    timelineId: row.timeline_id,
    state: row.state,
    computeLsn,
    safekeepers,
    pageserver,
    headLsn,
    bucketLsn,
    bytesBeyondBucket: headLsn === null || bucketLsn === null ? null : Math.max(0, headLsn - bucketLsn),
    endpoints: row.endpoints,
  };
}

async function positionOnSafekeeper(
  { nodes, clock }: ControlParts,
  known: readonly ControlNode[],
  { project_id, timeline_id }: Row,
  id: number,
  signal: AbortSignal,
): Promise<SafekeeperPosition> {
  const nothing = { id, term: null, flushLsn: null, commitLsn: null, backupLsn: null };
  const node = known.find((other) => other.kind === 'safekeeper' && other.id === id);
  if (node === undefined) return { ...nothing, error: 'nothing is known of it' };
  const key = { tenant_id: project_id, timeline_id };
  const answer = await within(clock, signal, (soon) => nodes.safekeeper(node).timelineStatus(key, soon));
  if ('error' in answer) return { ...nothing, error: answer.error };
  const { acceptor_state, flush_lsn, commit_lsn, backup_lsn } = answer.value;
  return {
    id,
    term: acceptor_state.term,
    flushLsn: flush_lsn,
    commitLsn: commit_lsn,
    backupLsn: backup_lsn,
    error: null,
  };
}

async function positionOnPageserver(
  { nodes, clock }: ControlParts,
  known: readonly ControlNode[],
  { project_id, timeline_id, pageserver_id: id }: Row,
  signal: AbortSignal,
): Promise<PageserverPosition> {
  const nothing = { id, lastRecordLsn: null, diskConsistentLsn: null, remoteConsistentLsn: null };
  const node = known.find((other) => other.kind === 'pageserver' && other.id === id);
  if (node === undefined) return { ...nothing, error: 'nothing is known of it' };
  const key = { tenant_shard_id: wholeTenant(project_id), timeline_id };
  const answer = await within(clock, signal, (soon) => nodes.pageserver(node).timeline(key, soon));
  if ('error' in answer) return { ...nothing, error: answer.error };
  return {
    id,
    lastRecordLsn: answer.value.last_record_lsn,
    diskConsistentLsn: answer.value.disk_consistent_lsn,
    remoteConsistentLsn: answer.value.remote_consistent_lsn_visible,
    error: null,
  };
}

async function within<Value>(
  clock: ControlParts['clock'],
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<Value>,
): Promise<{ readonly value: Value } | { readonly error: string }> {
  const late = new AbortController();
  const timer = clock.setTimer(ANSWER_MS, () => late.abort());
  try {
    return { value: await ask(AbortSignal.any([signal, late.signal])) };
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    return { error: late.signal.aborted ? `no answer within ${ANSWER_MS} ms` : error.reason };
  } finally {
    timer.cancel();
  }
}
