import { describe, expect, test } from 'vitest';
import { UnknownRecordError } from '../../../src/base/errors.ts';
import { NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import { POSTGRES_17 } from '../../../src/postgres/versions/version.ts';
import { WalWriter } from '../../../src/postgres/wal/wal-writer.ts';
import type { BackPressureReason } from '../../../src/proposer/back-pressure.ts';
import { TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';
import { type Candidate, INITIAL_LSN, ProposerWorld, type Winner } from './proposer-world.ts';

const KIB = 1024;
const records = (count: number, bytes: number): number[] => Array.from({ length: count }, () => bytes);
const everSignal = new AbortController().signal;

describe('streaming', () => {
  test('what a server writes is committed, and on all safekeepers', async () => {
    const world = new ProposerWorld(1);
    const winner = await world.elected();
    const { proposer, source } = winner;
    expect(proposer).toMatchObject({ term: 1, startLsn: INITIAL_LSN, commitLsn: INITIAL_LSN });
    const commits: number[] = [];
    using _listening = proposer.onCommit((lsn) => commits.push(lsn));
    for (let count = 0; count < 20; count++) {
      source.write(records(1 + count, 20 * (count % 7 === 3 ? 5000 : count)));
      await world.wait(count % 3);
    }
    await world.committed(winner);
    expect(source.commitLsn).toBe(winner.end);
    expect(commits).toEqual([...commits].sort((left, right) => left - right));
    expect(commits.at(-1)).toBe(winner.end);
    await world.until(() => [1, 2, 3].every((id) => world.flushLsn(id) === winner.end));
    for (const id of [1, 2, 3]) expect(world.holds(id, source)).toBe(true);
    expect(proposer.stats).toMatchObject({ elections: 1, receivedLsn: winner.end, fetchedBytes: 0 });
    await world.kernel.perform(() => proposer.close());
  });

  test('goes on while a minority is away, and brings it up to date from memory or from others', async () => {
    const world = new ProposerWorld(2);
    const winner = await world.elected({ windowBytes: 256 * KIB });
    const { proposer, source } = winner;
    for (const [bytes, isFetched] of [
      [50 * KIB, false],
      [3000 * KIB, true],
    ] as const) {
      const fetchedBefore = proposer.stats.fetchedBytes;
      world.safekeeper(3).node.crash();
      for (let written = 0; written < bytes; written += 50 * KIB) {
        source.write(records(10, 5 * KIB));
        await world.wait(5);
      }
      await world.committed(winner);
      expect(proposer.stats.heldBytes).toBeLessThan(300 * KIB);
      world.safekeeper(3).boot();
      await world.until(() => world.flushLsn(3) === winner.end);
      expect(world.holds(3, source)).toBe(true);
      expect(proposer.stats.fetchedBytes > fetchedBefore).toBe(isFetched);
    }
    source.write(records(3, 100));
    await world.until(() => world.flushLsn(3) === winner.end);
    await world.kernel.perform(() => proposer.close());
  });

  test('a safekeeper that takes nothing holds up nobody, and costs no memory', async () => {
    const world = new ProposerWorld(3);
    const settings = { windowBytes: 512 * KIB, unsentBytesMax: 256 * KIB, idleTimeoutMs: 3000 };
    const winner = await world.elected(settings);
    const { proposer, source } = winner;
    const [compute] = world.kernel.nodes.slice(-1);
    if (compute === undefined) throw new Error('there is no compute');
    world.kernel.network.block(world.safekeeper(2).node, compute);
    let mostUnsent = 0;
    for (let count = 0; count < 100; count++) {
      source.write(records(10, 10 * KIB));
      await world.wait(2);
      const slow = proposer.stats.safekeepers.find(({ id }) => id === 2);
      mostUnsent = Math.max(mostUnsent, slow?.unsentBytes ?? 0);
    }
    await world.committed(winner);
    expect(source.isPaused).toBe(false);
    expect(mostUnsent).toBeLessThan(512 * KIB);
    expect(proposer.stats.heldBytes).toBeLessThan(700 * KIB);
    await world.until(() => proposer.stats.safekeepers.find(({ id }) => id === 2)?.isConnected === false);
    world.kernel.network.healAll();
    await world.until(() => world.flushLsn(2) === winner.end);
    expect(world.holds(2, source)).toBe(true);
    await world.kernel.perform(() => proposer.close());
  });

  test('without a quorum it says so, holds the server back, and goes on when it is there again', async () => {
    const world = new ProposerWorld(4);
    const winner = await world.elected({ windowBytes: 256 * KIB });
    const { proposer, source } = winner;
    const reasons: (BackPressureReason | undefined)[] = [];
    using _listening = proposer.onBackPressure((reason) => reasons.push(reason));
    for (const id of [1, 2]) world.safekeeper(id).node.crash({ kind: 'kill' });
    await world.until(() => proposer.backPressure === 'no-quorum');
    const { commitLsn } = proposer;
    for (let count = 0; count < 20; count++) source.write(records(10, 5 * KIB));
    await world.wait(5000);
    expect(source.isPaused).toBe(true);
    expect(proposer.stats.heldBytes).toBeLessThan(256 * KIB + 200 * KIB);
    expect(proposer.commitLsn).toBe(commitLsn);
    world.safekeeper(1).boot();
    await world.committed(winner);
    await world.until(() => proposer.backPressure === undefined);
    expect(reasons[0]).toBe('no-quorum');
    expect(world.holds(1, source) && world.holds(3, source)).toBe(true);
    await world.kernel.perform(() => proposer.close());
  });
});

test('a safekeeper that answers at the address of another one is not believed, and harms nobody', async () => {
  const world = new ProposerWorld(13);
  const [first, second] = world.membership().members;
  if (first === undefined || second === undefined) throw new Error('there are too few');
  const members = [first, second, { ...second, id: 3 }];
  const winner = await world.elected({}, { membership: { ...world.membership(), members } });
  winner.source.write(records(10, 100));
  await world.committed(winner);
  const wrong = winner.proposer.stats.safekeepers.find(({ id }) => id === 3);
  expect(wrong).toMatchObject({ isStreaming: false, flushLsn: 0 });
  expect(winner.logger.lines.map(({ fields }) => String(fields['reason']))).toContainEqual(
    expect.stringContaining('safekeeper 2 answers at its address'),
  );
  await world.kernel.perform(() => winner.proposer.close());
});

describe('elections', () => {
  test('begin where the last term ended, and fence it', async () => {
    const world = new ProposerWorld(5);
    const first = await world.elected();
    first.source.write(records(100, 300));
    await world.committed(first);
    const second = await world.elected();
    expect(second.proposer).toMatchObject({ term: 2, startLsn: first.end, commitLsn: first.end });
    first.source.write([10]);
    const error = await world.kernel.perform(() => first.proposer.ended);
    expect(error).toMatchObject({ kind: 'fenced', code: 'FENCED' });
    second.source.write(records(10, 10));
    await world.committed(second);
    await world.kernel.perform(() => second.proposer.close());
  });

  test.each([1, 2, 3, 4, 5])(
    'of several at a time one wins in the end, and the losers know (%d)',
    async (seed) => {
      const world = new ProposerWorld(100 + seed);
      const candidates = [1, 2, 3].map(() => world.candidate());
      await world.until(() =>
        candidates.every(({ proposer, failure }) => (proposer ?? failure) !== undefined),
      );
      await world.wait(5000);
      const termOf = ({ proposer }: Candidate): number => proposer?.term ?? 0;
      const winner = candidates.reduce((best, each) => (termOf(each) > termOf(best) ? each : best));
      for (const { proposer, failure, source } of candidates.filter((each) => each !== winner)) {
        if (proposer === undefined) {
          // It was overtaken when it had won, and before a quorum knew.
          expect(failure).toMatchObject({ kind: 'fenced' });
          continue;
        }
        source.write([1]);
        expect(await world.kernel.perform(() => proposer.ended)).toMatchObject({ kind: 'fenced' });
      }
      winner.source.write(records(10, 10));
      await world.until(() => winner.proposer?.commitLsn === winner.end);
      await world.kernel.perform(async () => winner.proposer?.close());
    },
  );

  test('are held again when the one that had the end of the log is gone right after', async () => {
    const world = new ProposerWorld(17);
    const first = await world.elected();
    first.source.write(records(20, 300));
    await world.committed(first);
    await world.until(() => [1, 2, 3].every((id) => world.flushLsn(id) === first.end));
    const committedLsn = first.end;
    for (const id of [2, 3]) world.safekeeper(id).node.crash();
    // Only the first safekeeper has this, so it is not committed.
    first.source.write(records(50, 300));
    await world.until(() => world.flushLsn(1) === first.end);
    await world.kernel.perform(() => first.proposer.close());
    world.safekeeper(2).boot();
    const second = world.candidate({ stuckElectionMs: 5000 });
    await world.until(() => second.logger.lines.some(({ message }) => message === 'the election is won'));
    world.safekeeper(1).node.crash();
    world.safekeeper(3).boot();
    await world.until(() => second.proposer !== undefined);
    expect(second.proposer).toMatchObject({ startLsn: committedLsn, commitLsn: committedLsn });
    second.source.write(records(5, 100));
    await world.committed(second as Winner);
    await world.kernel.perform(() => (second as Winner).proposer.close());
  });

  test('are given up with their signal, and do not begin with it', async () => {
    const world = new ProposerWorld(6);
    for (const id of [1, 2]) world.safekeeper(id).node.crash();
    const candidate = world.candidate();
    await world.wait(3000);
    expect(candidate.proposer).toBeUndefined();
    candidate.electing.abort();
    await world.until(() => candidate.failure !== undefined);
    expect(candidate.failure).toMatchObject({ kind: 'cancelled' });
    const late = world.candidate();
    late.electing.abort();
    await world.until(() => late.failure !== undefined);
  });

  test('of an empty log need to know where it begins', async () => {
    const world = new ProposerWorld(7);
    await expect(world.elected({}, { initialLsn: 0 as never })).rejects.toMatchObject({ code: 'EMPTY_LOG' });
  });

  test('follow a change of the membership, with the server that runs', async () => {
    const world = new ProposerWorld(8, 4);
    const winner = await world.elected({}, { membership: world.membership(0, [1, 2, 3]) });
    const { proposer, source } = winner;
    source.write(records(100, 1000));
    await world.committed(winner);
    const next = world.membership(1, [2, 3, 4]);
    const change = async (id: number): Promise<void> => {
      await world.safekeeper(id).durable?.run((acceptor) => acceptor.switchMembership(next));
    };
    source.write(records(100, 1000));
    await world.kernel.perform(async () => {
      for (const id of [2, 3]) await change(id);
    });
    source.write(records(100, 1000));
    await world.until(() => proposer.term > 1 && proposer.commitLsn === winner.end);
    expect(proposer.stats.elections).toBeGreaterThan(1);
    // The new one is told the configuration by the proposer, and gets all there is from the others.
    await world.until(() => world.flushLsn(4) === winner.end);
    expect(world.safekeeper(4).acceptor?.membership.generation).toBe(1);
    expect(world.safekeeper(1).acceptor?.membership).toEqual(NO_MEMBERSHIP);
    expect(world.holds(4, source)).toBe(true);
    await world.kernel.perform(() => proposer.finish(everSignal));
  });
});

describe('the end', () => {
  test('a clean stop waits for all that came, and a quorum knows it durably', async () => {
    const world = new ProposerWorld(9);
    const { proposer, source } = await world.elected();
    source.write(records(200, 2000));
    const { endLsn } = source.wal;
    // Half a record will never be committed.
    source.wal.write([5000]);
    source.giveRaw(source.wal.bytes(endLsn, endLsn + 1000).slice());
    await world.kernel.perform(() => proposer.finish(everSignal));
    expect(proposer.commitLsn).toBe(endLsn);
    expect(await proposer.ended).toBeUndefined();
    const knowing = world.safekeepers.filter(({ acceptor }) => acceptor?.persistent.commitLsn === endLsn);
    expect(knowing.length).toBeGreaterThanOrEqual(2);
  });

  test('a clean stop waits for a quorum, until it is told not to', async () => {
    const world = new ProposerWorld(10);
    const winner = await world.elected();
    const { proposer, source } = winner;
    for (const id of [1, 3]) world.safekeeper(id).node.crash();
    source.write([100]);
    source.end();
    const patience = new AbortController();
    let outcome: unknown;
    const finishing = proposer.finish(patience.signal).catch((error: unknown) => {
      outcome = error;
    });
    await world.wait(10_000);
    expect(outcome).toBeUndefined();
    patience.abort();
    await world.kernel.perform(() => finishing);
    expect(outcome).toMatchObject({ kind: 'cancelled' });
    world.safekeeper(3).boot();
    await world.kernel.perform(() => proposer.finish(everSignal));
    expect(proposer.commitLsn).toBe(winner.end);
  });

  test('a server that fails ends it, with that error', async () => {
    const world = new ProposerWorld(11);
    const { proposer, source } = await world.elected();
    source.giveRaw(new Uint8Array(100));
    expect(await world.kernel.perform(() => proposer.ended)).toMatchObject({ kind: 'corruption' });
    await expect(proposer.finish(everSignal)).rejects.toMatchObject({ kind: 'corruption' });
  });

  test('a record that storage could not replay ends it before anybody has a byte of that', async () => {
    const world = new ProposerWorld(12);
    const { proposer, source } = await world.elected();
    source.write(records(5, 100));
    const { endLsn } = source.wal;
    await world.until(() => [1, 2, 3].every((id) => world.flushLsn(id) === endLsn));
    const cluster = { version: POSTGRES_17, systemIdentifier: TEST_SYSTEM, timelineId: 1 };
    const writer = new WalWriter({
      ...cluster,
      segmentBytes: TEST_SEGMENT_BYTES,
      startLsn: endLsn,
      previousLsn: 0,
    });
    const { startLsn } = writer.append({ resourceManager: 134, info: 0x10, mainData: new Uint8Array(50) });
    const wal = writer.take().subarray(endLsn - writer.baseLsn);
    source.giveRaw(wal.subarray(0, 10));
    await world.until(() => proposer.commitLsn === endLsn);
    source.giveRaw(wal.subarray(10));
    const error = await world.kernel.perform(() => proposer.ended);
    expect(error).toBeInstanceOf(UnknownRecordError);
    expect(error).toMatchObject({ place: { lsn: startLsn, resourceManager: 134 } });
    await world.wait(1000);
    for (const { durable } of world.safekeepers) expect(durable?.acceptor.log.writeLsn).toBe(startLsn);
  });
});
