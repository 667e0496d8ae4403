import type { Client } from 'pg';
import type { LoadScript } from './client-messages.ts';
import type { RawClient } from './raw-client.ts';

export const ACCOUNTS_OF_BRANCH = 100_000;
const TELLERS_OF_BRANCH = 10;
const DELTA_MAX = 5000;

/** Tables like those of TPC-B, with rows of about 100 bytes. */
export async function createTables(client: Pick<Client, 'query'>, scale: number): Promise<void> {
  await client.query('CREATE TABLE branches (bid int PRIMARY KEY, balance int, filler char(88))');
  await client.query('CREATE TABLE tellers (tid int PRIMARY KEY, bid int, balance int, filler char(84))');
  await client.query('CREATE TABLE accounts (aid int, bid int, balance int, filler char(84))');
  await client.query(
    'CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))',
  );
  await client.query(`INSERT INTO branches SELECT i, 0, '' FROM generate_series(1, ${scale}) i`);
  await client.query(
    `INSERT INTO tellers SELECT i, (i - 1) / ${TELLERS_OF_BRANCH} + 1, 0, ''
     FROM generate_series(1, ${scale * TELLERS_OF_BRANCH}) i`,
  );
  for (let branch = 0; branch < scale; branch++) {
    const first = branch * ACCOUNTS_OF_BRANCH;
    await client.query(
      `INSERT INTO accounts SELECT i, ${branch + 1}, 0, ''
       FROM generate_series(${first + 1}, ${first + ACCOUNTS_OF_BRANCH}) i`,
    );
  }
  await client.query('ALTER TABLE accounts ADD PRIMARY KEY (aid)');
  for (const table of ['branches', 'tellers', 'accounts', 'history']) {
    await client.query(`VACUUM (FREEZE, ANALYZE) ${table}`);
  }
}

/** Prepares the script's statements. Gives what does it once. */
export async function prepareScript(client: RawClient, script: LoadScript): Promise<() => Promise<void>> {
  const upTo = (count: number): number => 1 + Math.floor(Math.random() * count);
  const accounts = script.scale * ACCOUNTS_OF_BRANCH;
  if (script.kind === 'select') {
    await client.prepare(['SELECT balance FROM accounts WHERE aid = $1']);
    return () => client.execute(0, [upTo(accounts)]);
  }
  await client.prepare([
    'BEGIN',
    'UPDATE accounts SET balance = balance + $1 WHERE aid = $2',
    'SELECT balance FROM accounts WHERE aid = $1',
    'UPDATE tellers SET balance = balance + $1 WHERE tid = $2',
    'UPDATE branches SET balance = balance + $1 WHERE bid = $2',
    'INSERT INTO history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)',
    'COMMIT',
  ]);
  return async () => {
    const aid = upTo(accounts);
    const bid = upTo(script.scale);
    const tid = upTo(script.scale * TELLERS_OF_BRANCH);
    const delta = upTo(2 * DELTA_MAX + 1) - DELTA_MAX - 1;
    await client.execute(0, []);
    await client.execute(1, [delta, aid]);
    await client.execute(2, [aid]);
    await client.execute(3, [delta, tid]);
    await client.execute(4, [delta, bid]);
    await client.execute(5, [tid, bid, aid, delta]);
    await client.execute(6, []);
  };
}
