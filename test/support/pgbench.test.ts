import { expect, test } from 'vitest';
import { initializePgbench, runPgbench } from './pgbench.ts';
import { StockPostgres } from './stock-postgres.ts';

test('balances and history agree, and every acknowledged commit is there', { timeout: 60_000 }, async () => {
  await using server = await StockPostgres.create({ major: 17, settings: { fsync: false } });
  await server.start();
  await initializePgbench(server, { scale: 1 });
  let acknowledged = 0;
  const result = await runPgbench(server, {
    scale: 1,
    clients: 4,
    transactions: 50,
    seed: 7,
    onCommit: () => {
      acknowledged++;
    },
  });
  expect(result.transactions).toBe(200);
  expect(acknowledged).toBe(200);
  expect(result.transactionsPerSecond).toBeGreaterThan(0);
  const [sums] = await server.query(`SELECT
    (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history) AS accounts,
    (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history) AS tellers,
    (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history) AS branches,
    (SELECT count(*)::int FROM pgbench_history) AS history`);
  expect(sums).toEqual({ accounts: true, tellers: true, branches: true, history: 200 });
  const timed = await runPgbench(server, { scale: 1, clients: 2, seconds: 0.3 });
  expect(timed.transactions).toBeGreaterThan(0);
  expect(timed.seconds).toBeGreaterThanOrEqual(0.3);
  await expect(runPgbench(server, { scale: 1 })).rejects.toThrow(/either/);
});
