import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import { makeStandby, untilReplayed } from '../support/safekeeper-standby.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Ledger } from './ledger.ts';
import { ledgerRows, tableSums } from './load.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { CommitCollector, readSafekeeperWal, ServerWal } from './safekeeper-wal.ts';
import type { WalCluster } from './wal-cluster.ts';
import { eventually, within } from './within.ts';

const SETTLE_TIMEOUT_MS = 60_000;
const LOSSES_SHOWN = 10;

/** What was found at the end of a round. */
export interface WalProof {
  /** Acknowledged transactions that some of the proofs did not find. */
  readonly lost: number;
  /** What was wrong, in words; empty if nothing was. */
  readonly findings: readonly string[];
  readonly walBytes: number;
  /** Safekeepers whose WAL was compared with the server's, byte for byte. */
  readonly compared: readonly number[];
}

/**
 * Ends a cluster whose load has stopped, and proves what its safekeepers have:
 *
 * - the WAL of a majority, read from each by START_REPLICATION, is the server's own pg_wal byte for byte, and holds the
 *   commit record of each acknowledged transaction;
 * - each election was told to start a compute behind the commit record of whatever was acknowledged before it;
 * - a stock standby that has nothing but the data directory of the beginning and one safekeeper comes to the same
 *   contents as the server, and has each row of the ledger.
 */
export async function proveWal(cluster: WalCluster, ledger: Ledger, random: SeededRandom): Promise<WalProof> {
  const { server, proposer, startLsn, segmentBytes } = cluster;
  const sums = await tableSums(server);
  await eventually(SETTLE_TIMEOUT_MS, 'no single proposer follows the server', () => isFollowed(cluster));
  await cluster.stopServer();
  const endLsn = await within(SETTLE_TIMEOUT_MS, 'the proposer has not ended', proposer.finished());
  if (cluster.failure !== undefined) throw cluster.failure;
  const majority = await untilCommitted(cluster, endLsn);
  const findings: string[] = [];
  const lost = new Set<number>();
  const serverWal = new ServerWal(server.dataDirectory, segmentBytes);
  let commitEnds: ReadonlyMap<number, number> = new Map();
  for (const node of majority) {
    const collector = new CommitCollector(startLsn, segmentBytes);
    await readSafekeeperWal(placeOf(cluster, node), { startLsn, endLsn }, (wal, lsn) => {
      serverWal.compare(wal, lsn);
      collector.feed(wal);
    });
    commitEnds = collector.endLsns;
    for (const { xid, client, sequence } of ledger.entries) {
      if (commitEnds.has(xid)) continue;
      lost.add(xid);
      findings.push(
        `the WAL of safekeeper ${node.options.id} has no commit of ${client}/${sequence}, xid ${xid}`,
      );
    }
  }
  for (const [{ xid }, { term, startLsn: electedLsn }] of ledger.lostByElections(commitEnds)) {
    lost.add(xid);
    findings.push(
      `term ${term} begins at ${formatLsn(electedLsn)}, before the acknowledged commit of xid ${xid} ends`,
    );
  }
  const source = random.pick(majority);
  for (const finding of await proveByStandby(cluster, source, { ledger, endLsn, sums, lost })) {
    findings.push(finding);
  }
  return {
    lost: lost.size,
    findings: findings.slice(0, LOSSES_SHOWN),
    walBytes: endLsn - startLsn,
    compared: majority.map(({ options }) => options.id),
  };
}

/** A server that is shut down waits for the proposer only if that is connected. */
async function isFollowed({ server, proposer }: WalCluster): Promise<boolean> {
  if (!proposer.isSettled) return false;
  const rows = await server.query(`SELECT FROM pg_stat_replication WHERE state = 'streaming'`);
  return rows.length === 1 && proposer.isSettled;
}

const placeOf = ({ tenantId, timelineId }: WalCluster, { options }: SafekeeperNode) => ({
  address: { host: '127.0.0.1', port: options.pgPort },
  tenantId,
  timelineId,
});

/** Waits until a majority says that all is committed, and gives who does. */
function untilCommitted(cluster: WalCluster, endLsn: Lsn): Promise<SafekeeperNode[]> {
  const { safekeepers, tenantId, timelineId } = cluster;
  const key = { tenant_id: tenantId, timeline_id: timelineId };
  return eventually(SETTLE_TIMEOUT_MS, `no majority has committed ${formatLsn(endLsn)}`, async () => {
    const committed: SafekeeperNode[] = [];
    for (const node of safekeepers) {
      const status = await node.client.timelineStatus(key, AbortSignal.timeout(SETTLE_TIMEOUT_MS));
      if (status.commit_lsn >= endLsn) committed.push(node);
    }
    return committed.length > safekeepers.length / 2 && committed;
  });
}

async function proveByStandby(
  cluster: WalCluster,
  source: SafekeeperNode,
  expected: {
    readonly ledger: Ledger;
    readonly endLsn: Lsn;
    readonly sums: Record<string, string>;
    readonly lost: Set<number>;
  },
): Promise<string[]> {
  const { server, initialDirectory, tenantId, timelineId } = cluster;
  const ports = [source.options.pgPort];
  const findings: string[] = [];
  await using standby = await makeStandby({
    primary: server,
    initialDirectory,
    tenantId,
    timelineId,
    ports,
  });
  await standby.start();
  await untilReplayed(standby, expected.endLsn, SETTLE_TIMEOUT_MS);
  const rows = await ledgerRows(standby);
  for (const { client, sequence, xid } of expected.ledger.entries) {
    if (rows.has(`${client}/${sequence}`)) continue;
    expected.lost.add(xid);
    findings.push(`the standby has no row ${client}/${sequence}`);
  }
  const sums = await tableSums(standby);
  for (const [table, sum] of Object.entries(expected.sums)) {
    if (sums[table] !== sum) findings.push(`${table}: ${sum} on the server, ${sums[table]} on the standby`);
  }
  return findings;
}
