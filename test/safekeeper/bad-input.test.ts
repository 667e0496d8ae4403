// A safekeeper of its own process, and clients that send what no client should. Each is refused by name and logged,
// and the timeline goes on: another proposer is elected and writes to it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import {
  type AcceptorMessage,
  APPEND_BYTES_MAX,
  decodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
} from '../../src/contracts/acceptor-messages.ts';
import { NO_MEMBERSHIP } from '../../src/contracts/membership.ts';
import { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { int32, RawClient } from '../support/raw-client.ts';
import { type MadeWal, makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../support/safekeeper-wal.ts';
import { VarveFamily, type VarveProcess } from '../support/varve-process.ts';
import { connectToSafekeeper, WalPusher } from '../support/wal-pusher.ts';
import {
  KEY,
  makeTokenKeys,
  newTimeline,
  OTHER_TENANT,
  START_LSN,
  signal,
  TENANT,
  TIMELINE,
} from './running-safekeeper.ts';

interface Ready {
  readonly pg: { readonly host: string; readonly port: number };
  readonly http: { readonly port: number };
}

const PUSH = "START_WAL_PUSH (proto_version '3', allow_timeline_creation 'true')";
const UNKNOWN_TIMELINE = parseTimelineId('99'.repeat(16));
const OPTIONS = `-c tenant_id=${TENANT} timeline_id=${TIMELINE}`;
/** What a hostile client may cost, in memory: what is bounded, times a few, and what the garbage collector is late with. */
const MEMORY_BYTES_MAX = 160 * 1024 * 1024;

const directory = mkdtempSync(join(tmpdir(), 'varve-bad-input-'));
const family = new VarveFamily(directory);
const sockets = nodeSockets((error) => {
  throw error;
});
let safekeeper: VarveProcess;
let ready: Ready;
let http: SafekeeperClient;
/** The last good WAL, and the term that it was written in. */
let wal: MadeWal;
let term = 0;

beforeAll(async () => {
  safekeeper = start('plain');
  ready = await safekeeper.line<Ready>();
  http = clientOf(ready);
  await http.createTimeline(newTimeline(), signal());
  wal = makeWal({ startLsn: START_LSN, recordBytes: [100, 200, 300] });
  await pushAsNext(wal);
});

/** The timeline is unharmed: another proposer is elected, and goes on where the last good WAL ends. */
afterEach(async () => {
  expect(safekeeper.isEnded).toBe(false);
  const before = await http.timelineStatus(KEY, signal());
  expect(before).toMatchObject({ flush_lsn: endOf(wal), commit_lsn: endOf(wal) });
  const next = makeNext([50, 5000, 50]);
  const endLsn = await pushAsNext(next);
  wal = next;
  expect(await http.timelineStatus(KEY, signal())).toMatchObject({ flush_lsn: endLsn, commit_lsn: endLsn });
});

afterAll(async () => {
  expect(await safekeeper.kill('SIGTERM')).toBe(0);
  expect(safekeeper.log.filter(({ level }) => level === 'error')).toEqual([]);
  await family[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

function start(name: string, ...more: string[]): VarveProcess {
  const listen = ['--listen-pg', '127.0.0.1:0', '--listen-http', '127.0.0.1:0'];
  return family.start(['safekeeper', '--id', '1', '--dir', join(directory, name), ...listen, ...more]);
}

function clientOf({ http: { port } }: Ready, token?: string): SafekeeperClient {
  return new SafekeeperClient({
    http: nodeHttp((error) => {
      throw error;
    }),
    clock: nodeClock,
    baseUrl: `http://127.0.0.1:${port}`,
    ...(token === undefined ? {} : { token: async () => token }),
  });
}

const endOf = ({ ends }: MadeWal): Lsn => ends.at(-1) as Lsn;

const makeNext = (recordBytes: readonly number[]): MadeWal =>
  makeWal({ startLsn: endOf(wal), previousLsn: wal.previousLsn, recordBytes });

async function pushAsNext(next: MadeWal): Promise<Lsn> {
  const pusher = await WalPusher.start({ address: ready.pg, tenantId: TENANT, timelineId: TIMELINE });
  await pusher.elect(++term, next.startLsn);
  const endLsn = await pusher.push(next);
  await pusher.close();
  return endLsn;
}

/** A client that has connected, and said nothing yet. */
async function connectRaw(): Promise<RawClient> {
  return new RawClient(await sockets.connect(ready.pg, new AbortController().signal));
}

/** One that is let in, and has sent a command. */
async function command(sql: string, options = OPTIONS): Promise<RawClient> {
  const client = await connectRaw();
  client.sendStartup({ user: 'varve', replication: 'true', options });
  await client.until(() => client.tags.includes('Z'));
  client.sendMessage('Q', `${sql}\0`);
  return client;
}

/** A proposer that sends any message. */
class RawProposer {
  readonly client: RawClient;
  term = 0;

  constructor(client: RawClient) {
    this.client = client;
  }

  static async start(): Promise<RawProposer> {
    const proposer = new RawProposer(await command(PUSH));
    await proposer.client.until(() => proposer.client.tags.includes('W'));
    proposer.send({
      kind: 'greeting',
      tenantId: TENANT,
      timelineId: TIMELINE,
      membership: NO_MEMBERSHIP,
      pgVersion: 170_011,
      systemIdentifier: TEST_SYSTEM,
      segmentBytes: TEST_SEGMENT_BYTES,
    });
    await proposer.replies(1);
    return proposer;
  }

  /** One that has been elected to go on where the WAL ends. */
  static async elected(): Promise<RawProposer> {
    const proposer = await RawProposer.start();
    proposer.term = ++term;
    proposer.send({ kind: 'vote-request', generation: 0, term });
    const vote = (await proposer.replies(2)).at(-1);
    if (vote?.kind !== 'vote-response' || !vote.voteGiven) throw new Error('no vote was given');
    const lsn = endOf(wal);
    const termHistory = [...vote.termHistory, { term, lsn }];
    proposer.send({ kind: 'elected', generation: 0, term, startStreamingAt: lsn, termHistory });
    return proposer;
  }

  send(message: ProposerMessage): void {
    this.client.sendMessage('d', encodeProposerMessage(message));
  }

  append(beginLsn: number, bytes: Uint8Array, inTerm = this.term): void {
    this.send({
      kind: 'append-request',
      generation: 0,
      term: inTerm,
      beginLsn: beginLsn as Lsn,
      endLsn: (beginLsn + bytes.length) as Lsn,
      commitLsn: endOf(wal),
      truncateLsn: START_LSN,
      wal: bytes,
    });
  }

  /** All replies, when there are so many. */
  async replies(count: number): Promise<AcceptorMessage[]> {
    const bodies = (): Buffer[] =>
      this.client.messages.filter(({ tag }) => tag === 'd').map(({ body }) => body);
    await this.client.until(() => bodies().length >= count);
    return bodies().map(decodeAcceptorMessage);
  }
}

/** What the client was told, when the safekeeper has closed the connection. */
async function refusal(client: RawClient): Promise<string[]> {
  await client.until(() => client.isClosed);
  return client.errors;
}

/** Waits for a line of the log that fits. */
async function logged(fields: Record<string, unknown>): Promise<Record<string, unknown>> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const found = safekeeper.log.find((line) => {
      try {
        expect(line).toMatchObject(fields);
        return true;
      } catch {
        return false;
      }
    });
    if (found !== undefined) return found;
    if (performance.now() > deadline) {
      throw new Error(`no line of the log fits; it ends:\n${safekeeper.errorText.slice(-3000)}`);
    }
    await delay(5);
  }
}

/** Of the timeline, with the positions of its end. */
const ofTimeline = (error: string): Record<string, unknown> => ({
  level: 'warn',
  tenantId: TENANT,
  timelineId: TIMELINE,
  flushLsn: formatLsn(endOf(wal)),
  commitLsn: formatLsn(endOf(wal)),
  error: expect.stringContaining(error),
});

function residentBytes(): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${safekeeper.pid}/status`, 'utf8'));
  return Number(match?.[1]) * 1024;
}

test.each<[string, Uint8Array]>([
  ['zeros', new Uint8Array(64)],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['a packet of 2 GB', int32(0x7fff_ffff)],
])('a stranger that begins with %s is refused', async (_, bytes) => {
  const client = await connectRaw();
  client.send(bytes);
  expect(await refusal(client)).toEqual([expect.stringMatching(/^FATAL .*startup/)]);
  await logged({ error: expect.stringMatching(/startup/), peer: expect.stringContaining('127.0.0.1') });
});

test.each(['2', '4'])(
  'version %s of the protocol is refused, and the connection is as good as before',
  async (version) => {
    const client = await command(`START_WAL_PUSH (proto_version '${version}')`);
    await client.until(() => client.tags.endsWith('Z') && client.errors.length > 0);
    const reason = `version ${version} of the safekeeper protocol is not spoken here`;
    expect(client.errors).toEqual([expect.stringContaining(`ERROR 0A000: ${reason}`)]);
    await logged({ tenantId: TENANT, timelineId: TIMELINE, error: expect.stringContaining(reason) });
    client.sendMessage('Q', 'TIMELINE_STATUS\0');
    await client.until(() => client.tags.endsWith('TDCZ'));
    client.connection.close();
  },
);

test.each([
  'IDENTIFY_SYSTEM',
  'START_REPLICATION PHYSICAL 0/1000000',
  "START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')",
])('%s of a timeline that is not there', async (sql) => {
  const client = await command(sql, `-c tenant_id=${TENANT} timeline_id=${UNKNOWN_TIMELINE}`);
  if (sql.startsWith('START_WAL_PUSH')) {
    await client.until(() => client.tags.includes('W'));
    const greeting = { kind: 'greeting', tenantId: TENANT, timelineId: UNKNOWN_TIMELINE } as const;
    const server = { pgVersion: 170_011, systemIdentifier: TEST_SYSTEM, segmentBytes: TEST_SEGMENT_BYTES };
    client.sendMessage('d', encodeProposerMessage({ ...greeting, ...server, membership: NO_MEMBERSHIP }));
  }
  await client.until(() => client.errors.length > 0);
  expect(client.errors).toEqual([expect.stringMatching(/42704: .*not/)]);
  await logged({ level: 'warn', tenantId: TENANT, timelineId: UNKNOWN_TIMELINE });
  client.connection.close();
  expect(await http.listTimelines(signal())).toEqual([KEY]);
});

test.each([
  [
    'bytes that are no message',
    (client: RawClient) => client.sendMessage('d', 'Xgarbage'),
    'there is no message',
  ],
  ['an empty message', (client: RawClient) => client.sendMessage('d'), 'message of a proposer'],
  [
    'a greeting that is cut off',
    (client: RawClient) => client.sendMessage('d', 'g0123'),
    'message of a proposer',
  ],
  ['CopyData of 2 GB', (client: RawClient) => client.send('d', int32(0x7fff_ffff)), 'of length 2147483647'],
  ['a negative length', (client: RawClient) => client.send('d', int32(-5)), 'of length -5'],
  ['a query', (client: RawClient) => client.sendMessage('Q', 'IDENTIFY_SYSTEM\0'), 'within a COPY'],
  [
    'an append before the greeting',
    (client: RawClient) => new RawProposer(client).append(START_LSN, new Uint8Array(8)),
    'instead of a greeting',
  ],
])('a proposer that begins with %s', async (_, act, reason) => {
  const client = await command(PUSH);
  await client.until(() => client.tags.includes('W'));
  act(client);
  expect(await refusal(client)).toEqual([expect.stringContaining(reason)]);
  await logged({ tenantId: TENANT, timelineId: TIMELINE, error: expect.stringContaining(reason) });
});

test.each<[string, (proposer: RawProposer) => void, string, string]>([
  [
    'bytes that are no message',
    ({ client }) => client.sendMessage('d', new Uint8Array(50).fill(0xee)),
    'XX001',
    'there is no message',
  ],
  ['CopyData of 2 GB', ({ client }) => client.send('d', int32(0x7fff_ffff)), '08P01', 'of length 2147483647'],
  [
    'WAL from before the end of the log',
    (proposer) => proposer.append(endOf(wal) - 64, new Uint8Array(64)),
    '22023',
    'the WAL goes back',
  ],
  [
    'WAL after a gap',
    (proposer) => proposer.append(endOf(wal) + 64, new Uint8Array(64)),
    '22023',
    'the WAL leaves a gap',
  ],
  [
    'WAL of zeros',
    (proposer) => proposer.append(endOf(wal), new Uint8Array(4096)),
    'XX001',
    'zeros where a record should be',
  ],
  [
    'WAL that is no record',
    (proposer) => proposer.append(endOf(wal), new Uint8Array(4096).fill(0x5a)),
    'XX001',
    'LSN',
  ],
  [
    'a record with a wrong checksum',
    (proposer) => {
      const { bytes, startLsn } = makeNext([500]);
      const wrong = bytes.slice();
      wrong[wrong.length - 100] = (wrong[wrong.length - 100] as number) ^ 1;
      proposer.append(startLsn, wrong);
    },
    'XX001',
    'LSN',
  ],
  [
    'an election into the committed WAL',
    (proposer) =>
      proposer.send({
        kind: 'elected',
        generation: 0,
        term: proposer.term + 1,
        startStreamingAt: START_LSN,
        termHistory: [{ term: proposer.term + 1, lsn: START_LSN }],
      }),
    'XX001',
    'would cut WAL that is committed',
  ],
  [
    'another generation',
    (proposer) => proposer.send({ kind: 'vote-request', generation: 7, term: proposer.term + 1 }),
    '55000',
    'generation 7',
  ],
  [
    'a term that it was not elected in',
    (proposer) => proposer.append(endOf(wal), makeNext([50]).bytes, proposer.term + 1),
    '22023',
    'before its election was told',
  ],
])('an elected proposer that sends %s', async (_, act, sqlState, reason) => {
  const proposer = await RawProposer.elected();
  act(proposer);
  const errors = await refusal(proposer.client);
  expect(errors).toEqual([expect.stringContaining(reason)]);
  expect(errors[0]).toContain(sqlState);
  await logged(ofTimeline(reason));
});

test('a connection that ends within a message', async () => {
  const proposer = await RawProposer.elected();
  proposer.client.send('d', int32(1000), new Uint8Array(10).fill(0x61));
  proposer.client.connection.end();
  await refusal(proposer.client);
  await logged(ofTimeline('bytes into a message'));
});

test('WAL of a lower term is answered with the higher one, and not taken', async () => {
  const old = await RawProposer.elected();
  const newer = await RawProposer.elected();
  const { bytes, startLsn } = makeNext([1000]);
  old.append(startLsn, bytes);
  expect((await old.replies(3)).at(-1)).toMatchObject({ kind: 'append-response', term: newer.term });
  old.send({
    kind: 'elected',
    generation: 0,
    term: old.term,
    startStreamingAt: START_LSN,
    termHistory: [{ term: old.term, lsn: START_LSN }],
  });
  old.client.connection.end();
  newer.client.connection.end();
  await old.client.until(() => old.client.isClosed);
  await newer.client.until(() => newer.client.isClosed);
  expect(old.client.errors).toEqual([]);
});

test('a reader of WAL that never reads costs no memory, and nobody else time', async () => {
  // 24 MiB of WAL for it.
  wal = makeNext(Array.from({ length: 24 * 16 }, () => 65_000));
  await pushAsNext(wal);
  const before = residentBytes();
  const readers: RawClient[] = [];
  for (let count = 0; count < 8; count++) {
    const reader = await command(`START_REPLICATION PHYSICAL ${formatLsn(START_LSN)}`);
    reader.connection.pause();
    readers.push(reader);
  }
  await pushAsNext((wal = makeNext(Array.from({ length: 16 }, () => 65_000))));
  expect(residentBytes() - before).toBeLessThan(MEMORY_BYTES_MAX);
  for (const reader of readers) reader.connection.close();
}, 60_000);

test('a proposer that never reads its replies is held back, and costs no memory', async () => {
  const before = residentBytes();
  const proposer = await RawProposer.elected();
  proposer.client.connection.pause();
  // Each heartbeat is answered: 100 MB of them, of which it takes no answer.
  const heartbeat = Buffer.concat([
    Buffer.from('d'),
    int32(4 + 45),
    encodeProposerMessage({
      ...{ kind: 'append-request', generation: 0, term, beginLsn: endOf(wal), endLsn: endOf(wal) },
      ...{ commitLsn: endOf(wal), truncateLsn: START_LSN, wal: new Uint8Array(0) },
    } as ProposerMessage),
  ]);
  const many = Buffer.concat(Array.from({ length: 20_000 }, () => heartbeat));
  for (let count = 0; count < 100; count++) proposer.client.send(many);
  // What it has not read is never asked for: our own side keeps it.
  let unsentBytes = -1;
  for (;;) {
    await delay(200);
    if (proposer.client.connection.unsentBytes === unsentBytes) break;
    unsentBytes = proposer.client.connection.unsentBytes;
  }
  expect(unsentBytes).toBeGreaterThan(0);
  expect(residentBytes() - before).toBeLessThan(MEMORY_BYTES_MAX);
  proposer.client.connection.close();
}, 60_000);

test('many messages of 2 GB, by their headers', async () => {
  const before = residentBytes();
  for (let count = 0; count < 50; count++) {
    const client = await command(PUSH);
    await client.until(() => client.tags.includes('W'));
    client.send('d', int32(0x7fff_ffff), new Uint8Array(APPEND_BYTES_MAX));
    await client.until(() => client.isClosed);
  }
  expect(residentBytes() - before).toBeLessThan(MEMORY_BYTES_MAX);
});

test("another tenant's token, a stranger's and none open nothing", async () => {
  const { publicKeyPem, signer } = await makeTokenKeys();
  const stranger = (await makeTokenKeys()).signer;
  const keyPath = join(directory, 'tokens.pem');
  writeFileSync(keyPath, publicKeyPem);
  const guarded = start(
    'guarded',
    ...['--pg-auth-public-key-path', keyPath, '--http-auth-public-key-path', keyPath],
  );
  const { pg, http: door } = await guarded.line<Ready>();
  const own = await signer.sign({ scope: 'tenant', tenantId: TENANT });
  await clientOf({ pg, http: door }, own).createTimeline(newTimeline(), signal());
  const others = await signer.sign({ scope: 'tenant', tenantId: OTHER_TENANT });
  const place = { address: pg, tenantId: TENANT, timelineId: TIMELINE };
  await expect(WalPusher.start({ ...place, token: others })).rejects.toThrow(/tenant/);
  const reader = await connectToSafekeeper({ ...place, token: others });
  await expect(reader.query('IDENTIFY_SYSTEM')).rejects.toThrow(/tenant/);
  await reader.close();
  const forged = await stranger.sign({ scope: 'safekeeperdata' });
  await expect(connectToSafekeeper({ ...place, token: forged })).rejects.toThrow(/JWT authentication error/);
  const pusher = await WalPusher.start({ ...place, token: own });
  await pusher.elect(1, START_LSN);
  await pusher.push(makeWal({ startLsn: START_LSN, recordBytes: [100] }));
  await pusher.close();
  expect(await guarded.kill('SIGTERM')).toBe(0);
  const refused = guarded.log.filter(({ code }) => code === 'SCOPE_REFUSED');
  expect(refused).toHaveLength(2);
  expect(refused[0]).toMatchObject({ level: 'warn', tenantId: TENANT, timelineId: TIMELINE });
});
