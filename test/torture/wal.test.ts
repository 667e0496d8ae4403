import { expect, test } from 'vitest';
import { Ledger } from './ledger.ts';
import { runWalRound } from './wal-round.ts';

test('no acknowledged transaction is lost while processes are killed, stopped and starved of disk', async ({
  annotate,
}) => {
  const result = await runWalRound({ seed: 20, chaosMs: 10_000 });
  for (const what of result.skipped) await annotate(`skipped: ${what}`);
  expect(result).toMatchObject({ lost: 0, findings: [] });
  expect(result.compared.length).toBeGreaterThanOrEqual(2);
  expect(result.acknowledged).toBeGreaterThan(50);
  expect(result.kills).toBeGreaterThan(3);
  expect(result.elections).toBeGreaterThan(1);
}, 120_000);

test('the ledger finds what an election has lost, and only that', () => {
  const ledger = new Ledger();
  ledger.recordElection({ acknowledged: 0, term: 1, startLsn: 100 });
  for (const xid of [1, 2, 3]) ledger.acknowledge({ client: 0, sequence: xid, xid });
  ledger.recordElection({ acknowledged: 3, term: 2, startLsn: 300 });
  const ends = new Map([
    [1, 200],
    [2, 300],
    [3, 308],
  ]);
  const lost = [...ledger.lostByElections(ends)].map(([{ xid }, { term }]) => [xid, term]);
  expect(lost).toEqual([[3, 2]]);
});
