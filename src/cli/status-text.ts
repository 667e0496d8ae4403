import { formatLsn, type Lsn } from '../base/lsn.ts';
import type { BranchStatus, SystemStatus } from '../contracts/control-api-status.ts';
import { formatBytes } from './progress.ts';
import { tableLines } from './table.ts';

type StatusEndpoint = BranchStatus['endpoints'][number];

const HEAD = ['project', 'branch', 'compute', 'head', 'in the bucket', 'lost if only that were left'];

/** What is wrong with the whole of a system, or that nothing is. */
export function systemLines({ version, nodes, operationsUnfinished }: SystemStatus): string[] {
  const away = nodes.filter(({ isReachable }) => !isReachable);
  return [
    `varve ${version}: ${nodes.length - away.length} of ${nodes.length} storage nodes answer`,
    ...away.map(({ kind, id, error }) => `  ${kind} ${id} does not: ${error ?? 'no reason is known'}`),
    ...(operationsUnfinished === 0 ? [] : [`${operationsUnfinished} operations go on`]),
  ];
}

/** A line for each branch. */
export const branchTable = (branches: readonly BranchStatus[]): string[] =>
  tableLines(
    [
      HEAD,
      ...branches.map(({ project, branch, endpoints, headLsn, bucketLsn, bytesBeyondBucket }) => [
        project,
        branch,
        stateText(endpoints.find(({ kind }) => kind === 'primary')),
        lsnText(headLsn),
        lsnText(bucketLsn),
        bytesBeyondBucket === null ? 'not known' : formatBytes(bytesBeyondBucket),
      ]),
    ],
    [],
  );

/** How far each part is on a branch, and how its servers have started. */
export function branchLines(status: BranchStatus): string[] {
  const { project, branch, state, computeLsn, safekeepers, pageserver, endpoints } = status;
  const rows = [
    ['compute', computeLsn === null ? 'no primary runs here' : `commit ${formatLsn(computeLsn)}`],
    ...safekeepers.map(({ id, error, term, flushLsn, commitLsn, backupLsn }) => [
      `safekeeper ${id}`,
      error === null
        ? `flush ${lsnText(flushLsn)}  commit ${lsnText(commitLsn)}  in the bucket ${lsnText(backupLsn)}  term ${term}`
        : `does not say: ${error}`,
    ]),
    ...(pageserver === null
      ? []
      : [
          [
            `pageserver ${pageserver.id}`,
            pageserver.error === null
              ? `last record ${lsnText(pageserver.lastRecordLsn)}  on disk ${lsnText(pageserver.diskConsistentLsn)}  in the bucket ${lsnText(pageserver.remoteConsistentLsn)}`
              : `does not say: ${pageserver.error}`,
          ],
        ]),
    ['bucket', bucketText(status)],
    ...endpoints.map((endpoint) => [endpoint.id, endpointText(endpoint)]),
  ];
  return [
    '',
    `${project}/${branch}${state === 'ready' ? '' : ` (${state})`}`,
    ...tableLines(rows, []).map((line) => `  ${line}`),
  ];
}

function bucketText({ bucketLsn, headLsn, bytesBeyondBucket }: BranchStatus): string {
  if (bucketLsn === null || headLsn === null || bytesBeyondBucket === null) {
    return 'how much of it is there is not known';
  }
  const lost = bytesBeyondBucket === 0 ? 'nothing' : `${formatBytes(bytesBeyondBucket)} of WAL`;
  return `enough up to ${formatLsn(bucketLsn)}, of ${formatLsn(headLsn)}: ${lost} would be lost if it were all that is left`;
}

function endpointText(endpoint: StatusEndpoint): string {
  const { kind, error, startSteps, state } = endpoint;
  const total = startSteps.reduce((sum, { ms }) => sum + ms, 0);
  const steps = startSteps.map(({ step, ms }) => `${step} ${ms.toFixed(0)}`).join(', ');
  const isShown = state === 'active' && startSteps.length > 0;
  return [
    `${kind}, ${stateText(endpoint)}`,
    ...(error === null ? [] : [`: ${error.message} (${error.code})`]),
    ...(isShown ? [`, started in ${total.toFixed(0)} ms (${steps})`] : []),
  ].join('');
}

const stateText = (endpoint: StatusEndpoint | undefined): string => {
  if (endpoint === undefined) return '-';
  return endpoint.port === null ? endpoint.state : `${endpoint.state} at ${endpoint.port}`;
};

const lsnText = (lsn: Lsn | null): string => (lsn === null ? '-' : formatLsn(lsn));
