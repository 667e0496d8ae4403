import { expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../../src/base/lsn.ts';
import { CollectingLogger } from '../../../src/observe/log.ts';
import { WalReceiverCounts } from '../../../src/pageserver/ingest/receiver/receiver-counts.ts';
import { StatusFeed } from '../../../src/pageserver/ingest/receiver/status-feed.ts';
import { WalReceiver } from '../../../src/pageserver/ingest/receiver/wal-receiver.ts';
import { RecordingIntake } from '../../pageserver/recording-intake.ts';
import { drawRecordBytes, type MadeWal, makeWal, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import type { SimDoors, SimNode } from '../kernel-node.ts';
import { KEY, membershipOf, type Push, SimulatedCluster, START_LSN } from '../peers/simulated-cluster.ts';

const IDS = [1, 2, 3];
const ROUNDS = 8;
const CONFIGURATION = membershipOf(1, IDS);

/** A pageserver with one timeline. What it has taken and not made durable is lost when it crashes. */
class SimulatedPageserver {
  readonly node: SimNode;
  readonly #wal: MadeWal;
  readonly #random: SeededRandom;
  /** No WAL above may come. */
  committedLsn: Lsn = START_LSN;
  intake: RecordingIntake;
  receiver!: WalReceiver;
  counts = new WalReceiverCounts();
  lives = 0;
  connects = 0;
  highestLsn: Lsn = START_LSN;
  doors!: SimDoors;
  readonly logger = new CollectingLogger();

  constructor(node: SimNode, wal: MadeWal, random: SeededRandom) {
    this.node = node;
    this.#wal = wal;
    this.#random = random;
    this.intake = new RecordingIntake(wal);
  }

  /** Begins a life. */
  async boot(): Promise<void> {
    const intake = new RecordingIntake(this.#wal, this.intake.positions.diskConsistentLsn);
    intake.positions = {
      ...intake.positions,
      remoteConsistentLsn: this.intake.positions.remoteConsistentLsn,
    };
    this.intake = intake;
    this.connects += this.counts.connects.value;
    this.counts = new WalReceiverCounts();
    const life = ++this.lives;
    this.node.start((doors) => {
      this.doors = doors;
      intake.onTaken = () => this.#onTaken(doors, intake);
      const { signal } = new AbortController();
      const options = { doors, logger: this.logger, access: { applicationName: 'pageserver-1' } };
      this.receiver = new WalReceiver({
        ...options,
        ...KEY,
        feed: new StatusFeed({ ...options, signal }),
        intake,
        counts: this.counts,
        members: CONFIGURATION.members,
        systemIdentifier: TEST_SYSTEM,
        shardNumber: 0,
        currentSizeBytes: () => 0,
      });
      void this.receiver.run(signal);
    });
    await this.node.kernel.run({ until: () => this.lives === life && this.receiver !== undefined });
  }

  /** All that was taken goes to the disk and the bucket. */
  store(): void {
    this.intake.store();
    this.receiver.progressed();
  }

  #onTaken(doors: SimDoors, intake: RecordingIntake): void {
    if (intake.position > this.committedLsn)
      throw new Error(`WAL came that nobody has committed: ${intake.position}`);
    this.highestLsn = toLsn(Math.max(this.highestLsn, intake.position));
    intake.hold = this.#random.chance(0.2)
      ? new Promise((resolve) => void doors.clock.setTimer(this.#random.below(3000), resolve))
      : undefined;
  }
}

/** Something befalls the network between the pageserver and a safekeeper. */
function strike(cluster: SimulatedCluster, pageserver: SimulatedPageserver, random: SeededRandom): void {
  const { network } = cluster.kernel;
  const { node } = cluster.member(1 + random.below(3));
  const kind = random.below(4);
  if (kind === 0) network.block(node, pageserver.node);
  else if (kind === 1) network.block(pageserver.node, node);
  else if (kind === 2) network.breakConnections(pageserver.node, node);
  else network.healAll();
}

test.each(Array.from({ length: 20 }, (_, index) => index + 1))(
  'whatever befalls network, safekeepers and pageserver, the timeline takes what was committed, each byte once and in order (seed %i)',
  async (seed) => {
    const random = new SeededRandom(seed);
    const wal = makeWal({ startLsn: START_LSN, recordBytes: drawRecordBytes(random, 3_000_000), seed });
    const perRound = Math.floor(wal.ends.length / ROUNDS);
    const cluster = await SimulatedCluster.start(IDS, seed);
    await cluster.createTimeline(CONFIGURATION);
    const pageserver = new SimulatedPageserver(cluster.kernel.addNode('ps'), wal, random);
    await pageserver.boot();
    for (let round = 0; round < ROUNDS; round++) {
      const term = round + 1;
      const begin = round === 0 ? START_LSN : (wal.ends[round * perRound - 1] as Lsn);
      const pushes: Push[] = [];
      for (const id of IDS) {
        const push = await cluster.push(id, 1, term);
        expect(push.granted.flushLsn).toBe(begin);
        push.elect([...push.granted.termHistory, { term, lsn: begin }], begin);
        await push.appendRecords(wal, round * perRound, (round + 1) * perRound);
        pushes.push(push);
      }
      for (let step = 0; step < 6; step++) {
        strike(cluster, pageserver, random);
        const push = pushes[random.below(3)] as Push;
        const commitLsn = wal.ends[round * perRound + random.below(perRound)] as Lsn;
        pageserver.committedLsn = toLsn(Math.max(pageserver.committedLsn, commitLsn));
        push.append(new Uint8Array(0), commitLsn);
        await cluster.wait(random.below(6000));
        if (random.chance(0.3)) pageserver.store();
      }
      for (const push of pushes) await push.leave();
      if (random.chance(0.6)) {
        const member = cluster.member(1 + random.below(3));
        member.node.crash({ kind: random.chance(0.5) ? 'power' : 'kill' });
        await cluster.wait(random.below(8000));
        await member.boot();
        await cluster.state(member.id);
      }
      if (random.chance(0.4)) {
        pageserver.node.crash({ kind: random.chance(0.5) ? 'power' : 'kill' });
        await pageserver.boot();
      }
    }
    cluster.kernel.network.healAll();
    const endLsn = wal.ends[ROUNDS * perRound - 1] as Lsn;
    pageserver.committedLsn = endLsn;
    for (const id of IDS) {
      const push = await cluster.push(id, 1, ROUNDS + 1);
      push.elect([...push.granted.termHistory, { term: ROUNDS + 1, lsn: endLsn }], endLsn);
      push.append(new Uint8Array(0), endLsn);
      await push.leave();
    }
    await cluster.until(() => pageserver.intake.position === endLsn, 120_000);
    expect(pageserver.intake.refusals).toBe(0);
    // When all is in the bucket, and all are heard again, the safekeepers get to know it, and nothing goes on any more.
    pageserver.store();
    await cluster.wait(90_000);
    expect(pageserver.receiver.state.status).toBe('idle');
    const { value } = pageserver.counts.connects;
    await cluster.wait(90_000);
    expect(pageserver.receiver.state.status).toBe('idle');
    expect(pageserver.counts.connects.value).toBe(value);
    expect((await cluster.state(1)).remoteConsistentLsn).toBe(endLsn);
    expect(pageserver.counts.connections.value).toBe(0);
    expect(pageserver.counts.waitingBytes.value).toBe(0);
  },
);
