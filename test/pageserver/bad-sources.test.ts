import { expect, test } from 'vitest';
import { BigEndianReader } from '../../src/base/big-endian.ts';
import { CorruptionError, VarveError } from '../../src/base/errors.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { type PageserverFeedback, readPageserverFeedback } from '../../src/contracts/pageserver-feedback.ts';
import type { CopyStream } from '../../src/libpq/copy-stream.ts';
import { ConnectionEndError } from '../../src/libpq/server/sqlstate.ts';
import { START_LSN } from '../safekeeper/running-safekeeper.ts';
import type { MadeWal } from '../support/safekeeper-wal.ts';
import { FakeSafekeeper, sendKeepalive, sendWal, type WalScript } from './fake-safekeeper.ts';
import { endOf, RunningReceiver, walOf } from './receiver-world.ts';
import { RecordingIntake } from './recording-intake.ts';

const POLL = { timeout: 10_000, interval: 5 };
const PIECE_BYTES = 60_000;

/** Sends WAL from there on, in pieces. */
function sendAll(stream: CopyStream, wal: MadeWal, startLsn: number, endLsn: number = endOf(wal)): void {
  for (let lsn = startLsn; lsn < endLsn; lsn += PIECE_BYTES) {
    const from = lsn - wal.startLsn;
    sendWal(stream, lsn, wal.bytes.slice(from, Math.min(from + PIECE_BYTES, endLsn - wal.startLsn)), endLsn);
  }
}

const serve =
  (wal: MadeWal): WalScript =>
  (stream, startLsn) =>
    sendAll(stream, wal, startLsn);

/** The same WAL with a wrong byte. */
function damagedAt(wal: MadeWal, lsn: number): MadeWal {
  const bytes = wal.bytes.slice();
  bytes[lsn - wal.startLsn] = (bytes[lsn - wal.startLsn] as number) ^ 1;
  return { ...wal, bytes };
}

/** The first has committed more than the others, so it is asked first. */
async function startFakes(wal: MadeWal, ...scripts: WalScript[]) {
  const stack = new AsyncDisposableStack();
  const fakes: FakeSafekeeper[] = [];
  for (const [index, script] of scripts.entries()) {
    const fake = stack.use(await FakeSafekeeper.start(index + 1));
    fake.commitLsn = toLsn(endOf(wal) - index);
    fake.script = script;
    fakes.push(fake);
  }
  return {
    fakes,
    members: fakes.map(({ address }) => address),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function feedbackOf(fake: FakeSafekeeper): PageserverFeedback | undefined {
  const body = fake.said.at(-1);
  if (body === undefined) return undefined;
  const reader = new BigEndianReader(body, 'feedback');
  expect(reader.u8()).toBe('z'.charCodeAt(0));
  expect(reader.u64()).toBe(reader.remaining);
  return readPageserverFeedback(reader);
}

test('damaged WAL is given up at once, and another safekeeper brings what is good', async () => {
  const wal = walOf(500_000);
  await using world = await startFakes(wal, serve(damagedAt(wal, START_LSN + 300_000)), serve(wal));
  const intake = new RecordingIntake(wal);
  await using running = new RunningReceiver(intake, world.members.slice(0, 1));
  const [bad, good] = world.fakes as [FakeSafekeeper, FakeSafekeeper];
  await expect.poll(() => running.counts.damages.value, POLL).toBe(1);
  const failure = { nodeId: 1, code: 'BAD_WAL', isDamage: true };
  expect(running.receiver.state).toMatchObject({ status: 'waiting', lastFailure: failure, isDamaged: true });
  running.receiver.setMembers(world.members);
  expect(running.receiver.state.isDamaged).toBe(false);
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(bad.startLsns).toEqual([START_LSN]);
  expect(good.startLsns).toHaveLength(1);
  expect(wal.ends).toContain(good.startLsns[0]);
  expect(good.startLsns[0]).toBeLessThan(START_LSN + 300_000);
  expect(running.receiver.state.lastFailure).toMatchObject(failure);
});

test('bad WAL from several safekeepers for the same place is told as damage, and the sources are not asked all the time', async () => {
  const wal = walOf(200_000);
  const damaged = damagedAt(wal, START_LSN + 100_000);
  await using world = await startFakes(wal, serve(damaged), serve(damaged), () => undefined);
  const intake = new RecordingIntake(wal);
  await using running = new RunningReceiver(intake, world.members);
  await expect.poll(() => running.receiver.state.isDamaged, POLL).toBe(true);
  const third = world.fakes[2] as FakeSafekeeper;
  await expect.poll(() => third.startLsns.length, POLL).toBe(1);
  await expect.poll(() => feedbackOf(third)?.corruptionDetected, POLL).toBe(true);
  expect(feedbackOf(third)?.lastReceivedLsn).toBe(third.startLsns[0]);
  expect(intake.refusals).toBe(2);
  expect(running.logger.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
});

test.each([
  ['what is stored is damaged', new CorruptionError('BAD_LAYER', 'a layer is damaged')],
  ['the disk fails', new VarveError('unavailable', 'IO_ERROR', 'the disk fails')],
])('where %s, no safekeeper is blamed, and none is asked in vain', async (_, failure) => {
  const wal = walOf(100_000);
  await using world = await startFakes(wal, serve(wal), serve(wal));
  const intake = new RecordingIntake(wal);
  intake.failure = failure;
  intake.isStopped = failure.kind === 'corruption';
  await using running = new RunningReceiver(intake, world.members);
  const { receiver, counts, logger } = running;
  await expect.poll(() => counts.ownFailures.value, POLL).toBeGreaterThan(0);
  const { lastFailure, sources, isDamaged } = receiver.state;
  expect(lastFailure).toMatchObject({ nodeId: undefined, code: failure.code });
  expect(sources.map(({ failures, lastFailure }) => [failures, lastFailure])).toEqual([
    [0, undefined],
    [0, undefined],
  ]);
  expect([isDamaged, counts.damages.value]).toEqual([false, 0]);
  const told = logger.lines.filter(({ message }) => /whoever brings it$/.test(message));
  expect(told.map(({ level }) => level)).toEqual([intake.isStopped ? 'error' : 'warn']);
  if (intake.isStopped) {
    // The other one is not tried: it would be in vain.
    expect(receiver.state.status).toBe('waiting');
    expect(world.fakes.flatMap(({ startLsns }) => startLsns)).toHaveLength(1);
    return;
  }
  intake.failure = undefined;
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
});

test.each([
  ['a gap', 'WAL_GAP', (wal: MadeWal) => (stream: CopyStream, lsn: Lsn) => sendAll(stream, wal, lsn + 8)],
  [
    'an unknown message',
    'UNKNOWN_MESSAGE',
    () => (stream: CopyStream) => stream.sendCopyData(Uint8Array.of(0x30, 1, 2)),
  ],
  [
    'a cut-off message',
    'BAD_MESSAGE',
    () => (stream: CopyStream) => stream.sendCopyData(Uint8Array.of(0x77, 1, 2)),
  ],
  ['an end', 'SOURCE_ENDED', () => (stream: CopyStream) => stream.sendCopyDone()],
  [
    'an error',
    'POSTGRES_ERROR',
    () => () => {
      throw ConnectionEndError.shutdown();
    },
  ],
] as const)('%s is a failure that is shown, and another safekeeper is taken', async (_name, code, script) => {
  const wal = walOf(150_000);
  await using world = await startFakes(wal, script(wal));
  const intake = new RecordingIntake(wal);
  await using running = new RunningReceiver(intake, world.members);
  await expect.poll(() => running.receiver.state.lastFailure, POLL).toMatchObject({ nodeId: 1, code });
  expect(intake.position).toBe(START_LSN);
  await using good = await FakeSafekeeper.start(9);
  good.commitLsn = endOf(wal);
  good.script = serve(wal);
  running.receiver.setMembers([...world.members, good.address]);
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(running.receiver.state.connection?.nodeId).toBe(9);
});

test('another cluster’s WAL, or another timeline’s, is not even asked for', async () => {
  const wal = walOf(50_000);
  await using world = await startFakes(wal, serve(wal), serve(wal));
  (world.fakes[0] as FakeSafekeeper).systemIdentifier = 99n;
  (world.fakes[1] as FakeSafekeeper).timeline = '2';
  const intake = new RecordingIntake(wal);
  await using running = new RunningReceiver(intake, world.members);
  await expect.poll(() => running.counts.damages.value, POLL).toBe(2);
  expect(running.receiver.state.lastFailure?.code).toBe('WRONG_SYSTEM');
  // It is they who are wrong, not the timeline.
  expect(running.receiver.state.isDamaged).toBe(false);
  expect(world.fakes.flatMap(({ startLsns }) => startLsns)).toEqual([]);
  expect(running.receiver.state.status).toBe('waiting');
});

test('WAL that comes again is cut, and what begins below where the intake is too', async () => {
  const wal = walOf(300_000);
  await using world = await startFakes(wal, (stream) => {
    sendAll(stream, wal, START_LSN, START_LSN + 100_000);
    sendAll(stream, wal, START_LSN + 50_001, START_LSN + 90_000);
    sendAll(stream, wal, START_LSN + 99_999);
    sendWal(stream, START_LSN, new Uint8Array(0), endOf(wal));
  });
  const intake = new RecordingIntake(wal, wal.ends[3] as Lsn);
  await using running = new RunningReceiver(intake, world.members);
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(intake.refusals).toBe(0);
  expect(running.counts.repeatedBytes.value).toBe((wal.ends[3] as Lsn) - START_LSN + 39_999 + 1);
});

test('many small pieces are taken together', async () => {
  const wal = walOf(400_000);
  await using world = await startFakes(wal, (stream) => {
    for (let at = 0; at < wal.bytes.length; at += 50) {
      sendWal(stream, START_LSN + at, wal.bytes.slice(at, at + 50));
    }
  });
  const intake = new RecordingIntake(wal);
  const held = Promise.withResolvers<void>();
  intake.hold = held.promise;
  await using running = new RunningReceiver(intake, world.members);
  await expect.poll(() => running.receiver.state.connection?.streamedLsn, POLL).toBe(endOf(wal));
  held.resolve();
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(intake.takes).toBeLessThan(20);
  expect(intake.refusals).toBe(0);
});

test('the next safekeeper is asked only when what the last one brought has been taken', async () => {
  const wal = walOf(300_000);
  await using world = await startFakes(wal, serve(wal), serve(wal));
  const intake = new RecordingIntake(wal);
  const held = Promise.withResolvers<void>();
  intake.hold = held.promise;
  const [one, two] = world.fakes as [FakeSafekeeper, FakeSafekeeper];
  await using running = new RunningReceiver(intake, [one.address]);
  await expect.poll(() => running.receiver.state.waitingBytes, POLL).toBeGreaterThan(0);
  running.receiver.setMembers([two.address]);
  await expect.poll(() => running.receiver.state.sources[0]?.commitLsn, POLL).toBe(two.commitLsn);
  expect(running.counts.left['not-a-member'].value).toBe(1);
  expect(running.receiver.state.connection?.nodeId).toBe(1);
  expect(two.startLsns).toEqual([]);
  held.resolve();
  await expect.poll(() => intake.position, POLL).toBe(endOf(wal));
  expect(two.startLsns).toHaveLength(1);
  expect(two.startLsns[0]).toBeGreaterThan(START_LSN);
});

test('a safekeeper that says nothing is left, one that sends keepalives is not', async () => {
  const wal = walOf(50_000);
  let stream: CopyStream | undefined;
  await using world = await startFakes(
    wal,
    () => undefined,
    (opened) => {
      stream = opened;
    },
  );
  const timer = setInterval(() => stream && sendKeepalive(stream, START_LSN), 20);
  using _timer = { [Symbol.dispose]: () => clearInterval(timer) };
  const intake = new RecordingIntake(wal);
  await using running = new RunningReceiver(intake, world.members.slice(0, 1), { silenceMaxMs: 150 });
  await expect.poll(() => running.receiver.state.lastFailure?.code, POLL).toBe('SOURCE_SILENT');
  expect(running.counts.left.silent.value).toBeGreaterThan(0);
  running.receiver.setMembers(world.members.slice(1));
  const patient = world.fakes[1] as FakeSafekeeper;
  await expect.poll(() => patient.said.length, POLL).toBeGreaterThan(20);
  expect(patient.startLsns).toEqual([START_LSN]);
  expect(running.receiver.state.connection?.nodeId).toBe(2);
});

test('a safekeeper that ends in order again and again is asked less and less often', async () => {
  const wal = walOf(50_000);
  await using world = await startFakes(wal, () => {
    throw ConnectionEndError.success('STREAM_ENDED', 'ending streaming: enough');
  });
  const intake = new RecordingIntake(wal);
  await using running = new RunningReceiver(intake, world.members);
  const [fake] = world.fakes as [FakeSafekeeper];
  await expect.poll(() => fake.startLsns.length, POLL).toBe(3);
  await expect.poll(() => running.receiver.state.status, POLL).toBe('waiting');
  expect(running.counts.failures.value).toBe(0);
});
