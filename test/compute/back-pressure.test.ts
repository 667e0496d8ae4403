// A server that writes faster than storage takes it, which is told to wait.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const POLL = { timeout: 30_000, interval: 20 };
const MEBIBYTE = 1024 * 1024;
/** What a server writes until its walsender has said so: that sends what the WAL writer has flushed, several times a second. */
const LATE_BYTES = 200 * MEBIBYTE;
/** In the write itself, or for who is in it. */
const WAITING =
  "SELECT wait_event ~* '^wal' AS waits FROM pg_stat_activity WHERE query LIKE 'COPY large%' AND state = 'active'";
const ROW_BYTES = 1000;

interface Stall {
  readonly what: string;
  readonly begin: () => () => void;
  /** src/proposer/back-pressure.ts */
  readonly limitBytes: number;
  readonly rows: number;
  readonly reason: string;
}

const STALLS: readonly Stall[] = [
  {
    what: 'there is no quorum',
    begin: () => world.pauseQuorum(),
    limitBytes: 32 * MEBIBYTE,
    rows: 300_000,
    reason: 'no-quorum|commit-lag',
  },
  {
    what: 'the pageserver stands still',
    begin: () => {
      world.pageserver.signal('SIGSTOP');
      return () => world.pageserver.signal('SIGCONT');
    },
    limitBytes: 500 * MEBIBYTE,
    rows: 850_000,
    reason: 'pageserver-lag',
  },
];

let world: VarveWorld;
let agent: VarveProcess;
let url: string;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
  agent = world.spawnCompute(world.main, 'compute', ['--log-level', 'info']);
  url = (await readyLine(agent)).url;
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function flushedBytes(): Promise<number> {
  const [row] = (await query(url, "SELECT (pg_current_wal_flush_lsn() - '0/0')::float8 AS bytes")) as [
    { bytes: number },
  ];
  return row.bytes;
}

test.for(STALLS)(
  'one large statement is held up while $what, and comes to its end after that',
  {
    timeout: TIMEOUT_MS,
  },
  async ({ begin, limitBytes, rows, reason }) => {
    const copy = (count: number): string =>
      `COPY large FROM PROGRAM 'head -c ${count * ROW_BYTES} /dev/zero | tr "\\0" x | fold -w ${ROW_BYTES - 1} | head -n ${count}'`;
    await query(url, 'DROP TABLE IF EXISTS large');
    await query(url, 'CREATE TABLE large (text text)');
    // What a statement reads of the catalogs is there from here on, also where no pageserver is.
    await query(url, copy(10));
    await query(url, 'TRUNCATE large');
    await query(url, WAITING);
    const before = await flushedBytes();
    const saidBefore = agent.errorText.length;
    const client = await connect(url);
    let hasEnded = false;
    const write = async (): Promise<void> => {
      await client.query(copy(rows));
      hasEnded = true;
    };
    const letGo = begin();
    let writing: Promise<void>;
    try {
      writing = write();
      // What it throws is seen below.
      writing.catch(() => undefined);
      const said = (): string => agent.errorText.slice(saidBefore);
      await expect
        .poll(said, POLL)
        .toMatch(new RegExp(`"reason":"(${reason})","message":"Writing is held back`));
      // It stands still, in the middle of the statement. Reading goes on, where no page has to make room that is not written.
      await expect.poll(() => query(url, WAITING), POLL).toEqual([{ waits: true }]);
      expect((await flushedBytes()) - before).toBeLessThan(limitBytes + LATE_BYTES);
      expect(hasEnded).toBe(false);
    } finally {
      letGo();
    }
    await writing;
    await client.end();
    expect(agent.errorText.slice(saidBefore)).toMatch(/Writing goes on/);
    expect((await flushedBytes()) - before).toBeGreaterThan(rows * ROW_BYTES);
    expect(await query(url, 'SELECT count(*)::int AS n FROM large')).toEqual([{ n: rows }]);
  },
);

test('a stop in order works after that', { timeout: TIMEOUT_MS }, async () => {
  expect(await agent.kill('SIGTERM')).toBe(0);
});
