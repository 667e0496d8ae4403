import { formatLsn } from '../../src/base/lsn.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import type { ProcessEnd } from '../support/varve-process.ts';
import { Chaos, type ChaosCounts } from './chaos.ts';
import { Ledger } from './ledger.ts';
import { Load } from './load.ts';
import { WalCluster } from './wal-cluster.ts';
import { proveWal, type WalProof } from './wal-proof.ts';
import { within } from './within.ts';

const SMALL_DISK_BYTES = 256 * 1024 * 1024;
/** How long the load may take to end when everything is up again. */
const QUIET_TIMEOUT_MS = 60_000;

export interface WalRoundOptions {
  readonly seed: number;
  /** How long there is chaos. */
  readonly chaosMs: number;
  readonly clients?: number;
  /** Between two transactions of a client: keeps the disk from filling in a long run. */
  readonly pauseMs?: number;
  readonly segmentSizeMiB?: number;
  /** Told what happens. */
  readonly onEvent?: (text: string) => void;
}

export interface WalRoundResult extends WalProof {
  readonly kills: number;
  readonly acknowledged: number;
  /** Commits whose outcome nobody learned. */
  readonly unknown: number;
  readonly elections: number;
  /** How often a proposer ended by itself, for each exit status. */
  readonly proposerEnds: ReadonlyMap<ProcessEnd, number>;
  readonly chaos: ChaosCounts;
  /** What could not be done here, and why. */
  readonly skipped: readonly string[];
}

/** Three safekeepers, a proposer and a server under load and chaos, from their beginning to the proof of what is left. */
export async function runWalRound(options: WalRoundOptions): Promise<WalRoundResult> {
  const { seed, chaosMs, clients = 4, pauseMs = 2, segmentSizeMiB = 1 } = options;
  const { onEvent = () => undefined } = options;
  const random = new SeededRandom(seed);
  const ledger = new Ledger();
  ledger.onElection = ({ term, startLsn }) => {
    onEvent(`elected in term ${term} at ${formatLsn(startLsn)}, ${ledger.entries.length} acknowledged`);
  };
  await using cluster = await WalCluster.start({
    random: random.fork(),
    ledger,
    segmentSizeMiB,
    smallDiskBytes: SMALL_DISK_BYTES,
  });
  using load = new Load(cluster.server, ledger, { seed: random.next(), clients, pauseMs });
  const chaos = new Chaos(cluster, random.fork(), onEvent);
  await chaos.run(chaosMs);
  // There is a quorum again: nothing keeps a commit from its end.
  await within(QUIET_TIMEOUT_MS, 'commits still wait', load.stop());
  const proof = await proveWal(cluster, ledger, random.fork());
  return {
    ...proof,
    kills: chaos.kills,
    acknowledged: ledger.entries.length,
    unknown: ledger.unknown,
    elections: ledger.elections.length,
    proposerEnds: cluster.proposer.ownEnds,
    chaos: chaos.counts,
    skipped: typeof cluster.smallDisk === 'string' ? [`no disk that fills up (${cluster.smallDisk})`] : [],
  };
}
