import { describe, test } from 'vitest';
import { ownBranch } from './own-branch.ts';

describe.concurrent('accounts', () => {
  test('money can be moved', async ({ expect }) => {
    await using own = await ownBranch();
    await own.pool.query("UPDATE accounts SET balance = balance - 30 WHERE name = 'ann'");
    await own.pool.query("UPDATE accounts SET balance = balance + 30 WHERE name = 'bob'");
    const { rows } = await own.pool.query('SELECT name, balance FROM accounts ORDER BY name');
    expect(rows).toEqual([
      { name: 'ann', balance: 70 },
      { name: 'bob', balance: 130 },
    ]);
  });

  test('an account cannot be overdrawn', async ({ expect }) => {
    await using own = await ownBranch();
    await expect(own.pool.query('UPDATE accounts SET balance = balance - 101')).rejects.toThrow('balance');
    const { rows } = await own.pool.query('SELECT sum(balance)::int AS sum FROM accounts');
    expect(rows).toEqual([{ sum: 200 }]);
  });

  test('even the table can go: no other test sees that', async ({ expect }) => {
    await using own = await ownBranch();
    await own.pool.query('DROP TABLE accounts');
    await expect(own.pool.query('SELECT FROM accounts')).rejects.toThrow('does not exist');
    await own.branch.reset();
    const { rows } = await own.pool.query('SELECT count(*)::int AS count FROM accounts');
    expect(rows).toEqual([{ count: 2 }]);
  });
});
