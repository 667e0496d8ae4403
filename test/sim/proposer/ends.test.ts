import { expect, test } from 'vitest';
import { INVALID_LSN, type Lsn } from '../../../src/base/lsn.ts';
import { ProposerWorld } from './proposer-world.ts';

const everSignal = new AbortController().signal;
const records = (count: number, bytes: number): number[] => Array.from({ length: count }, () => bytes);

test('a clean stop that begins between two elections comes to its end', async () => {
  const world = new ProposerWorld(31, 4);
  const winner = await world.elected(
    { electionRetry: { minMs: 2000, maxMs: 2000 } },
    { membership: world.membership(0, [1, 2, 3]) },
  );
  const { proposer, source } = winner;
  source.write(records(10, 100));
  await world.committed(winner);
  await world.until(() => [1, 2, 3].every((id) => world.flushLsn(id) === winner.end));
  const next = world.membership(1, [2, 3, 4]);
  await world.kernel.perform(async () => {
    for (const id of [2, 3]) {
      await world.safekeeper(id).durable?.run((acceptor) => acceptor.switchMembership(next));
    }
  });
  await world.until(() =>
    winner.logger.lines.some(({ message }) => message === 'the membership has changed'),
  );
  const { elections } = proposer.stats;
  let outcome: unknown = 'under way';
  void proposer.finish(everSignal).then(
    () => {
      outcome = 'finished';
    },
    (error: unknown) => {
      outcome = error;
    },
  );
  await world.wait(60_000);
  expect(elections).toBe(1);
  expect(outcome).toBe('finished');
  expect(proposer.commitLsn).toBe(winner.end);
});

test('a clean stop that was given up while it was told may be tried again', async () => {
  const world = new ProposerWorld(32);
  const winner = await world.elected();
  const { proposer, source } = winner;
  source.write(records(10, 100));
  await world.committed(winner);
  for (const id of [1, 2, 3]) world.safekeeper(id).node.crash();
  const patience = new AbortController();
  const first = proposer.finish(patience.signal).catch((error: unknown) => error);
  await world.wait(1000);
  patience.abort();
  expect(await world.kernel.perform(() => first)).toMatchObject({ kind: 'cancelled' });
  for (const id of [1, 2, 3]) world.safekeeper(id).boot();
  await world.kernel.perform(() => proposer.finish(everSignal));
  expect(await proposer.ended).toBeUndefined();
});

test('what a pageserver does not know yet holds nobody back', async () => {
  const world = new ProposerWorld(34);
  const limit = 64 * 1024;
  const winner = await world.elected({
    backPressure: { commitLagBytes: limit, receiveLagBytes: limit, diskLagBytes: limit },
  });
  const { proposer, source } = winner;
  const tell = (lastReceivedLsn: Lsn, diskConsistentLsn: Lsn, replyTime: bigint): void =>
    world.safekeeper(1).timeline?.feedback.publish({
      currentTimelineSizeBytes: 0,
      lastReceivedLsn,
      diskConsistentLsn,
      remoteConsistentLsn: INVALID_LSN,
      replyTime,
      shardNumber: 0,
      corruptionDetected: false,
    });
  source.write(records(10, 100));
  await world.committed(winner);
  tell(winner.end, INVALID_LSN, 1n);
  await world.until(() => proposer.pageserverProgress !== undefined);
  await world.wait(5000);
  expect(proposer.backPressure).toBeUndefined();
  const { end } = winner;
  source.write(records(10, 10 * 1024));
  await world.committed(winner);
  tell(winner.end, end, 2n);
  await world.until(() => proposer.backPressure === 'pageserver-lag');
  await world.kernel.perform(() => proposer.close());
});
