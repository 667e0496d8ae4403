import pg, { type Client } from 'pg';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { BankState } from './ledger.ts';

export const ACCOUNTS = 500;
const BALANCE = 1000;
export const BANK = { sum: ACCOUNTS * BALANCE, accounts: ACCOUNTS } as const;
const LARGE_CHANCE = 0.02;
const LARGE_WORDS = 1200;
const CONNECT_TIMEOUT_MS = 20_000;

const INSERT = {
  name: 'transfer',
  text: 'INSERT INTO transfers (id, debtor, creditor, amount, note) VALUES ($1, $2, $3, $4, $5)',
};
const UPDATE = { name: 'account', text: 'UPDATE accounts SET balance = balance + $1 WHERE id = $2' };

/** A connection was given up, or a query was that took too long. */
export class GivenUpError extends Error {}

/** The tables, with all accounts alike. */
export async function createBank(client: Client): Promise<void> {
  await client.query(`
    CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler char(84) NOT NULL DEFAULT '');
    CREATE TABLE transfers (id bigint PRIMARY KEY, debtor int NOT NULL, creditor int NOT NULL,
      amount bigint NOT NULL, note text);
    CREATE INDEX transfers_debtor ON transfers (debtor);
    CREATE TABLE looks (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
    INSERT INTO accounts SELECT i, ${BALANCE} FROM generate_series(1, ${ACCOUNTS}) i`);
}

/** Whoever calls it lets go of the connection with `leave`. */
export async function enter(url: string): Promise<Client> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'torture',
  });
  // A connection that is lost also rejects its query.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Closes it, and waits for nobody: a server that is stopped says nothing. */
export function leave(client: Client): void {
  // It is cut off below, and says so.
  void client.end().catch(() => undefined);
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** What `work` gives. @throws GivenUpError where it takes longer: the connection is cut then, whatever it waits for */
export async function patiently<Value>(
  client: Client,
  timeoutMs: number,
  work: () => Promise<Value>,
): Promise<Value> {
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    leave(client);
  }, timeoutMs);
  try {
    return await work();
  } catch (error) {
    throw isLate ? new GivenUpError(`no answer within ${timeoutMs} ms`, { cause: error }) : error;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * One transfer, whole or not at all.
 * @returns whether it was acknowledged as committed by a quorum
 */
export async function transfer(client: Client, id: number, random: SeededRandom): Promise<boolean> {
  let isWaitGivenUp = false;
  // syncrep.c, SyncRepWaitForLSN: the commit is reported, with a warning that it may not be replicated.
  const onNotice = ({ message }: { message?: string | undefined }): void => {
    if (message?.includes('synchronous replication') === true) isWaitGivenUp = true;
  };
  const note = random.chance(LARGE_CHANCE)
    ? Array.from({ length: LARGE_WORDS }, () => random.next().toString(36)).join('')
    : '';
  const debtor = 1 + random.below(ACCOUNTS);
  const creditor = 1 + ((debtor + random.below(ACCOUNTS - 1)) % ACCOUNTS);
  const amount = 1 + random.below(100);
  const changes = [
    [-amount, debtor],
    [amount, creditor],
  ] as const;
  client.on('notice', onNotice);
  await client.query('BEGIN');
  // In one order, so that no two transactions wait for each other; the row between them is the half that must not stay alone.
  const [first, second] = debtor < creditor ? changes : [changes[1], changes[0]];
  await client.query({ ...UPDATE, values: [...first] });
  await client.query({ ...INSERT, values: [id, debtor, creditor, amount, note] });
  await client.query({ ...UPDATE, values: [...second] });
  await client.query('COMMIT');
  client.off('notice', onNotice);
  return !isWaitGivenUp;
}

/** All of it in one snapshot. */
export async function readBank(client: Client): Promise<BankState> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  const { rows: transfers } = await client.query<{ id: string }>('SELECT id FROM transfers');
  const { rows: totals } = await client.query<{ sum: string; accounts: string }>(
    'SELECT coalesce(sum(balance), 0) AS sum, count(*) AS accounts FROM accounts',
  );
  const { rows: unbalanced } = await client.query<{ text: string }>(`
    SELECT 'account ' || a.id || ' has ' || a.balance || ', and not ' || ${BALANCE} + coalesce(m.sum, 0) AS text
    FROM accounts a LEFT JOIN (
      SELECT id, sum(amount) AS sum FROM (
        SELECT debtor AS id, -amount AS amount FROM transfers UNION ALL SELECT creditor, amount FROM transfers) t
      GROUP BY id) m USING (id)
    WHERE a.balance <> ${BALANCE} + coalesce(m.sum, 0) ORDER BY a.id`);
  await client.query('COMMIT');
  return {
    ids: new Set(transfers.map(({ id }) => Number(id))),
    sum: Number(totals[0]?.sum),
    accounts: Number(totals[0]?.accounts),
    unbalanced: unbalanced.map(({ text }) => text),
  };
}

/** What a server must never say to SQL that is right: of data, constraints, syntax, its own bugs and damage. */
export function isServerFault(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message: string };
  // Of a read for which nobody waits any more: the server is being ended.
  if (code === 'XX000' && message.endsWith('Operation canceled')) return false;
  return typeof code === 'string' && /^(22|23|42|XX)...$/.test(code);
}

/** Something is committed, and acknowledged by a quorum: what was seen before is durable. @returns where WAL ends then */
export async function commitLook(client: Client): Promise<string> {
  let isWaitGivenUp = false;
  const onNotice = ({ message }: { message?: string | undefined }): void => {
    if (message?.includes('synchronous replication') === true) isWaitGivenUp = true;
  };
  client.on('notice', onNotice);
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
  await client.query('INSERT INTO looks DEFAULT VALUES');
  client.off('notice', onNotice);
  if (isWaitGivenUp) throw new GivenUpError('the wait for a quorum was given up');
  return (rows[0] as { lsn: string }).lsn;
}
