import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { fuzzPorts, usedBytes } from './fuzz-ports.ts';
import { statusOf } from './http-shots.ts';
import { frame, letIn, requestBytes, startup } from './page-shots.ts';
import { PageserverUnderFire, SECRET, TIMELINE, VICTIM, WITNESS } from './pageserver-under-fire.ts';
import { Shot } from './shot.ts';

const GIB = 1024 * 1024 * 1024;
const MIB = 1024 * 1024;
const PIECE: Uint8Array = new Uint8Array(64 * 1024).fill(0x20);
const ROUTE = `/v1/tenant/${VICTIM}/timeline`;
const UNKNOWN = parseTimelineId('d'.repeat(32));
/** Far above all WAL, and no LSN at all. */
const FUTURE = 0x7fff_0000n;
const LATEST = 2n ** 64n - 1n;
const START = 0x100_0028n;

let world: PageserverUnderFire;
beforeAll(async () => {
  world = await PageserverUnderFire.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const head = (method: string, path: string, ...more: string[]): string =>
  [
    `${method} ${path} HTTP/1.1`,
    'Host: x',
    `Authorization: Bearer ${world.token('tenant', VICTIM)}`,
    ...more,
    '',
    '',
  ].join('\r\n');

test('a thousand shots at both ports disturb nobody, tell of no bug and leave no memory behind', {
  timeout: 120_000,
}, async () => {
  const { shots } = await fuzzPorts({ seed: 17, shots: 1000 });
  for (const [kind, count] of Object.entries(shots)) expect(count, kind).toBeGreaterThan(50);
});

/** Sends as much of so many bytes as is taken, a piece at a time. Returns how many. */
async function sendWhileTaken(
  shot: Shot,
  wantedBytes: number,
  begin: Uint8Array,
  end: Uint8Array,
): Promise<number> {
  let sentBytes = 0;
  while (sentBytes < wantedBytes && !shot.isOver && statusOf(shot) === undefined) {
    shot.send(begin, PIECE, end);
    sentBytes += PIECE.length;
    await Promise.race([shot.drained(0), shot.until(() => statusOf(shot) !== undefined)]);
  }
  return sentBytes - shot.unsentBytes;
}

test.for([
  ['announced', [`Content-Length: ${GIB}`], '', ''],
  ['in chunks', ['Transfer-Encoding: chunked'], `${PIECE.length.toString(16)}\r\n`, '\r\n'],
] as const)(
  'HT-01: of a body of a gigabyte, %s, no more is taken than may be there',
  async ([_, headers, begin, end]) => {
    const before = await usedBytes();
    const shot = await Shot.at(world, 'http');
    shot.send(head('POST', ROUTE, 'Content-Type: application/json', ...headers));
    const taken = await sendWhileTaken(shot, GIB, Buffer.from(begin), Buffer.from(end));
    await shot.until(() => statusOf(shot) !== undefined);
    expect(statusOf(shot)).toBe(413);
    expect(taken).toBeLessThan(32 * MIB);
    shot.close();
    await world.checkWitness();
    expect((await usedBytes()) - before).toBeLessThan(16 * MIB);
  },
);

test('heads that come one byte at a time hold up nobody else', async () => {
  const slow = await Promise.all(Array.from({ length: 200 }, () => Shot.at(world, 'http')));
  const slower = await Promise.all(Array.from({ length: 200 }, () => Shot.at(world, 'page')));
  for (const byte of 'GET /v1') {
    for (const shot of slow) shot.send(byte);
    for (const shot of slower) shot.send('\0');
    await world.checkWitness();
  }
  const other = await Shot.at(world, 'http');
  other.send(head('GET', ROUTE, 'Connection: close'));
  await other.until(() => false);
  expect(statusOf(other)).toBe(200);
  for (const shot of [...slow, ...slower, other]) shot.close();
});

test('PS-13: what is refused makes a line with the tenant, the timeline and, where it is known, the LSN', async () => {
  const token = world.token('tenant', VICTIM);
  const of = (tenantId: string, timelineId: string) => `${tenantId} ${timelineId}`;
  const refusals: readonly (readonly [command: string, requests: Uint8Array[], fields: object])[] = [
    [
      `basebackup ${of(WITNESS, TIMELINE)}`,
      [],
      { tenantId: WITNESS, timelineId: TIMELINE, code: 'SCOPE_REFUSED' },
    ],
    [
      `pagestream_v3 ${of(VICTIM, UNKNOWN)}`,
      [],
      { tenantId: VICTIM, timelineId: UNKNOWN, code: 'TIMELINE_NOT_FOUND' },
    ],
    [
      `startset ${of(VICTIM, TIMELINE)} 0/7FFF0000`,
      [],
      { tenantId: VICTIM, timelineId: TIMELINE, lsn: '0/7FFF0000', code: 'LSN_NOT_REACHED' },
    ],
    [
      `fullbackup ${of(VICTIM, TIMELINE)} 0/1000`,
      [],
      { tenantId: VICTIM, timelineId: TIMELINE, lsn: '0/1000', code: 'LSN_BELOW_CUTOFF' },
    ],
    [
      `lease lsn ${of(VICTIM, TIMELINE)} 0/7FFF0100`,
      [],
      { tenantId: VICTIM, lsn: '0/7FFF0100', code: 'LSN_NOT_REACHED' },
    ],
    [
      `pagestream_v3 ${of(VICTIM, TIMELINE)}`,
      [requestBytes(3, 2, START, FUTURE)],
      { tenantId: VICTIM, timelineId: TIMELINE, lsn: '0/1000028', code: 'BAD_REQUEST_LSN' },
    ],
    [
      `pagestream_v3 ${of(VICTIM, TIMELINE)}`,
      [requestBytes(3, 2, LATEST, FUTURE)],
      { tenantId: VICTIM, timelineId: TIMELINE, lsn: '0/7FFF0000', code: 'LSN_NOT_REACHED' },
    ],
    [
      `pagestream_v3 ${of(VICTIM, TIMELINE)}`,
      [requestBytes(3, 2, 8n, 8n)],
      { tenantId: VICTIM, timelineId: TIMELINE, lsn: '0/8', code: 'LSN_BELOW_CUTOFF' },
    ],
    [
      `pagestream_v3 ${of(VICTIM, TIMELINE)}`,
      [requestBytes(3, 200, START, START)],
      { tenantId: VICTIM, timelineId: TIMELINE, code: 'UNKNOWN_PAGE_REQUEST' },
    ],
  ];
  for (const [command, requests, fields] of refusals) {
    world.takeLog();
    const shot = await letIn(world, token);
    shot.send(
      frame('Q', `${command}\0`),
      ...requests.map((request) => frame('d', request)),
      frame('c', ''),
      frame('X', ''),
    );
    await shot.until(() => false);
    expect(shot.received.includes(SECRET)).toBe(false);
    const lines = world.takeLog().filter(({ level }) => level === 'warn');
    expect(lines, command).toEqual([expect.objectContaining(fields)]);
  }
});

test('what is wrong with a token is for the log only', async () => {
  const good = world.token('pageserverapi');
  for (const token of [
    `${good.slice(0, 60)}_${good.slice(61)}`,
    `${good.slice(0, -10)}AAAAAAAAAA`,
    'x',
    '',
  ]) {
    world.takeLog();
    const shot = await Shot.at(world, 'page');
    shot.send(startup(), frame('p', `${token}\0`));
    await shot.until(() => false);
    const text = shot.received.toString('latin1');
    expect(text).toMatch(/MJWT authentication error\0\0$/);
    shot.close();
    await expect.poll(() => JSON.stringify(world.takeLog())).toMatch(/the token is|none of the keys/);
  }
});

test('PS-06: a service ends although a client of HTTP takes no answers', { timeout: 30_000 }, async () => {
  await using other = await PageserverUnderFire.open();
  const shot = await Shot.at(other, 'http');
  shot.pause();
  shot.send('GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100));
  // The answers fill what the kernel keeps for both sides.
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
  const started = performance.now();
  await other.service.close();
  expect(performance.now() - started).toBeLessThan(10_000);
});
