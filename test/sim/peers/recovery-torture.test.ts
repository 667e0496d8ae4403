import { expect, test } from 'vitest';
import type { Lsn } from '../../../src/base/lsn.ts';
import { highestCommonPoint, type TermHistory } from '../../../src/contracts/term-history.ts';
import { type MadeWal, makeWal } from '../../support/safekeeper-wal.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { KEY, membershipOf, type Push, SimulatedCluster, START_LSN } from './simulated-cluster.ts';

const IDS = [1, 2, 3];
const ROUNDS = 8;

/** What the proposer of one term wrote, and after what. */
interface TermWal {
  readonly wal: MadeWal;
  readonly recordBytes: readonly number[];
  /** Start of the record before its first one. */
  readonly previousLsn: number;
  readonly history: TermHistory;
}

/**
 * Computes that come and go. Each is elected by a majority, feeds only those whose logs end where its own begins, and
 * leaves it to the recovery to bring the others along; what a majority has of its term is committed.
 */
class Computes {
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  readonly #terms = new Map<number, TermWal>();
  #term = 0;
  committed: { readonly lsn: Lsn; readonly term: number } = { lsn: START_LSN, term: 0 };

  constructor(cluster: SimulatedCluster, random: SeededRandom) {
    this.#cluster = cluster;
    this.#random = random;
  }

  async run(): Promise<void> {
    const term = ++this.#term;
    // 0: nobody is away.
    const away = this.#random.below(4);
    const voters = IDS.filter((id) => id !== away);
    const pushes: Push[] = [];
    for (const id of voters) pushes.push(await this.#cluster.push(id, 1, term));
    if (!pushes.every(({ granted }) => granted.voteGiven)) throw new Error('a vote was not given');
    const best = pushes.reduce((one, other) => (isNewer(other, one) ? other : one));
    const { flushLsn, termHistory } = best.granted;
    this.#checkNothingIsLost(best);
    const history = [...termHistory, { term, lsn: flushLsn }];
    const previousLsn = this.#previousRecord(best);
    const recordBytes = Array.from(
      { length: 1 + this.#random.below(60) },
      () => 20 + this.#random.below(3000),
    );
    const wal = makeWal({ startLsn: flushLsn, recordBytes, previousLsn, seed: term });
    this.#terms.set(term, { wal, recordBytes, previousLsn, history });
    for (const push of pushes) {
      const { granted } = push;
      const isFed = highestCommonPoint(history, granted.termHistory, granted.flushLsn)?.lsn === flushLsn;
      if (isFed && (push === best || this.#random.chance(0.7))) {
        push.elect(history, flushLsn);
        await push.appendRecords(wal, 0, this.#random.below(recordBytes.length) + 1);
      } else {
        await push.leave();
      }
    }
    await this.#cluster.wait(this.#random.below(8000));
    this.#commit(term, wal);
    best.append(new Uint8Array(0), this.committed.lsn);
    await this.#cluster.wait(this.#random.below(50));
    for (const push of pushes) await push.leave();
  }

  /** All WAL up to here, put together from the terms that wrote it. */
  contentUpTo(lsn: Lsn, history: TermHistory): Uint8Array {
    const content = new Uint8Array(lsn - START_LSN);
    for (const [index, { term, lsn: begin }] of history.entries()) {
      const end = Math.min(history[index + 1]?.lsn ?? lsn, lsn);
      const written = this.#terms.get(term);
      if (written !== undefined && end > begin) {
        content.set(written.wal.bytes.subarray(0, end - begin), begin - START_LSN);
      }
    }
    return content;
  }

  /** The start of a log's last record. */
  #previousRecord({ granted: { flushLsn, termHistory } }: Push): number {
    const last = [...termHistory].reverse().find(({ term, lsn }) => lsn < flushLsn && this.#terms.has(term));
    if (last === undefined) return START_LSN - 64;
    const { wal, recordBytes, previousLsn } = this.#terms.get(last.term) as TermWal;
    const index = wal.ends.indexOf(flushLsn);
    if (index < 0) throw new Error('a log ends within a record');
    const part = recordBytes.slice(0, index + 1);
    return makeWal({ startLsn: last.lsn, recordBytes: part, previousLsn, seed: last.term }).previousLsn;
  }

  #commit(term: number, wal: MadeWal): void {
    const flushed = this.#cluster.members
      .map(({ acceptor }) => (acceptor?.lastLogTerm === term ? acceptor.flushLsn : 0))
      .sort((left, right) => right - left);
    const lsn = flushed[1] as Lsn;
    if (lsn > wal.startLsn) this.committed = { lsn, term };
  }

  #checkNothingIsLost({ granted: { flushLsn, termHistory } }: Push): void {
    const { lsn, term } = this.committed;
    expect(flushLsn).toBeGreaterThanOrEqual(lsn);
    if (term === 0) return;
    const begin = this.#terms.get(term)?.history.at(-1)?.lsn;
    expect(termHistory).toContainEqual({ term, lsn: begin });
    const next = termHistory[termHistory.findIndex((entry) => entry.term === term) + 1];
    expect(next?.lsn ?? flushLsn).toBeGreaterThanOrEqual(lsn);
  }
}

function isNewer({ granted: one }: Push, { granted: other }: Push): boolean {
  const term = one.termHistory.at(-1)?.term ?? 0;
  const otherTerm = other.termHistory.at(-1)?.term ?? 0;
  return term === otherTerm ? one.flushLsn > other.flushLsn : term > otherTerm;
}

async function readLog(cluster: SimulatedCluster, id: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  await cluster.kernel.perform(async () => {
    using timeline = await cluster
      .member(id)
      .safekeeper.timelines.get(KEY.tenantId, KEY.timelineId)
      .stay('wal');
    for (let at = 0; at < lengthBytes; ) {
      const lsn = (START_LSN + at) as Lsn;
      const count = (await timeline.acceptor.wal?.read(bytes, at, lengthBytes - at, lsn)) ?? 0;
      if (count === 0) throw new Error(`the log of ${id} ends at ${lsn}`);
      at += count;
    }
  });
  return bytes;
}

test.each(Array.from({ length: 30 }, (_, index) => index + 1))(
  'SK-26: with computes that come and go, and crashes, nothing committed is lost and all logs become one (seed %i)',
  async (seed) => {
    const random = new SeededRandom(seed);
    const cluster = await SimulatedCluster.start(IDS, seed);
    await cluster.createTimeline(membershipOf(1, IDS));
    const computes = new Computes(cluster, random);
    for (let round = 0; round < ROUNDS; round++) {
      await computes.run();
      if (random.chance(0.5)) {
        const member = cluster.member(1 + random.below(3));
        await cluster.wait(random.below(6000));
        member.node.crash({ kind: random.chance(0.5) ? 'power' : 'kill' });
        await cluster.wait(random.below(3000));
        await member.boot();
        await cluster.state(member.id);
      }
      await cluster.wait(random.below(10_000));
    }
    for (const id of IDS) await cluster.state(id);
    const states = () => cluster.members.map(({ acceptor }) => acceptor);
    await cluster.until(() => {
      const [first, ...others] = states();
      return others.every((other) => {
        return other?.flushLsn === first?.flushLsn && other?.lastLogTerm === first?.lastLogTerm;
      });
    }, 180_000);
    const { flushLsn, commitLsn, persistent } = await cluster.state(1);
    expect(flushLsn).toBeGreaterThanOrEqual(computes.committed.lsn);
    expect(commitLsn).toBeLessThanOrEqual(computes.committed.lsn);
    const expected = computes.contentUpTo(flushLsn, persistent.termHistory);
    for (const id of IDS) expect(await readLog(cluster, id, expected.length)).toEqual(expected);
  },
);
