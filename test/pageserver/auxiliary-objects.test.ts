// What a compute keeps beside WAL, over the libpq port of a pageserver.
import { expect, test } from 'vitest';
import { parseTenantId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn } from '../../src/base/lsn.ts';
import {
  AUXILIARY_CONTENT_BYTES_MAX,
  type AuxiliaryObject,
  AuxiliaryStreamDecoder,
  AuxiliaryStreamEncoder,
} from '../../src/contracts/auxiliary-stream.ts';
import { formatPageServiceCommand } from '../../src/contracts/page-commands.ts';
import type { TokenClaims } from '../../src/contracts/token.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { ClientConnection } from '../../src/libpq/client/client-connection.ts';
import { connectPageService } from '../../src/page-client/connect-page-service.ts';
import { copyFromPageService } from '../../src/page-client/page-commands.ts';
import { putAuxiliaryObjects } from '../../src/page-client/put-auxiliary.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import { PageServiceWorld, type PageServiceWorldOptions } from '../page-service/page-service-world.ts';
import { TENANT } from '../page-service/page-test-client.ts';
import { MAIN } from '../support/storage-world.ts';

const STATISTICS = 'pg_stat/pgstat.stat.zst';
const MAP = 'base/5/16384_fsm/0';
const context: ReadContext = { task: 'page-request', signal: new AbortController().signal };
const doors = {
  sockets: nodeSockets((error) => {
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
};
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

const open = (options: PageServiceWorldOptions = {}): Promise<PageServiceWorld> =>
  PageServiceWorld.open({ ...options, settings: { lsnWaitMs: 300, ...options.settings } });

async function connected<Result>(
  { port }: PageServiceWorld,
  action: (connection: ClientConnection) => Promise<Result>,
  token?: string,
): Promise<Result> {
  const connection = await connectPageService(doors, {
    address: { host: '127.0.0.1', port },
    connectTimeoutMs: 10_000,
    signal: new AbortController().signal,
    ...(token === undefined ? {} : { token }),
  });
  try {
    return await action(connection);
  } finally {
    await connection.close();
  }
}

async function* given(
  objects: Readonly<Record<string, Uint8Array | undefined>>,
): AsyncGenerator<AuxiliaryObject> {
  for (const [path, content] of Object.entries(objects)) yield { path, content };
}

function put(
  world: PageServiceWorld,
  objects: Readonly<Record<string, Uint8Array | undefined>>,
  lsn: Lsn = world.main.timeline.lastRecordLsn,
  isDurable = false,
): Promise<number> {
  const command = { kind: 'PutAuxiliary', tenantId: TENANT, timelineId: MAIN, lsn, isDurable } as const;
  return connected(world, (connection) => putAuxiliaryObjects(connection, command, given(objects)));
}

/** What a start at an LSN gets of the maps. */
function mapsAt(world: PageServiceWorld, lsn?: Lsn): Promise<Record<string, string>> {
  return connected(world, async (connection) => {
    const decoder = new AuxiliaryStreamDecoder();
    const found: Record<string, string> = {};
    const at = lsn === undefined ? {} : { lsn };
    const command = { kind: 'FreeSpaceMaps', tenantId: TENANT, timelineId: MAIN, ...at } as const;
    for await (const chunk of copyFromPageService(connection, command)) {
      for (const { path, content } of decoder.push(chunk)) found[path] = new TextDecoder().decode(content);
    }
    decoder.finish();
    return found;
  });
}

const storedAt = async ({ main }: PageServiceWorld, lsn: Lsn): Promise<(string | number)[][]> =>
  (await main.reads.auxiliaryFiles(lsn, context)).map(({ path, lsn, content }) => [
    path,
    lsn,
    new TextDecoder().decode(content),
  ]);

test('what was put is there from its record on, and is changed and removed', async () => {
  await using world = await open();
  await world.write(20);
  const first = world.main.timeline.lastRecordLsn;
  expect(await mapsAt(world)).toEqual({});
  expect(await put(world, { [STATISTICS]: text('counts'), [MAP]: text('one') })).toBe(2);
  await world.write(20);
  const second = world.main.timeline.lastRecordLsn;
  await put(world, {
    [MAP]: text('two'),
    'global/1260_fsm/0': text('other'),
    'base/5/16399_fsm/7': undefined,
  });
  expect(world.main.timeline.lastRecordLsn).toBe(second);
  expect(await mapsAt(world, first)).toEqual({ [MAP]: 'one' });
  expect(await mapsAt(world)).toEqual({ [MAP]: 'two', 'global/1260_fsm/0': 'other' });
  await put(world, { [MAP]: undefined });
  expect(await mapsAt(world)).toEqual({ 'global/1260_fsm/0': 'other' });
  expect(await storedAt(world, second)).toEqual([
    ['global/1260_fsm/0', second, 'other'],
    [STATISTICS, first, 'counts'],
  ]);
  // WAL is taken in as before.
  await world.write(50);
  expect(await mapsAt(world)).toEqual({ 'global/1260_fsm/0': 'other' });
});

test('whoever is late changes nothing that is newer, and its statistics are of its own LSN', async () => {
  await using world = await open();
  await world.write(20);
  const early = world.main.timeline.lastRecordLsn;
  await world.write(20);
  const late = world.main.timeline.lastRecordLsn;
  await put(world, { [MAP]: text('of the later one'), [STATISTICS]: text('of the later one') });
  await put(
    world,
    { [MAP]: text('stale'), 'base/5/1_fsm/0': text('stale'), [STATISTICS]: text('stale') },
    early,
  );
  await put(world, { [MAP]: undefined }, early);
  expect(await mapsAt(world)).toEqual({ [MAP]: 'of the later one', 'base/5/1_fsm/0': 'stale' });
  expect((await storedAt(world, late)).filter(([path]) => path === STATISTICS)).toEqual([
    [STATISTICS, late, 'of the later one'],
  ]);
  await world.write(20);
  await put(world, { [STATISTICS]: text('stale') }, late);
  const files = await storedAt(world, world.main.timeline.lastRecordLsn);
  expect(files.filter(([path]) => path === STATISTICS)).toEqual([[STATISTICS, late, 'stale']]);
});

test('an LSN that is still to come is waited for', async () => {
  await using world = await open({ settings: { lsnWaitMs: 20_000 } });
  await world.write(20);
  const { lastRecordLsn } = world.main.timeline;
  const putting = put(world, { [MAP]: text('early') }, (lastRecordLsn + 8) as Lsn);
  await world.write(20);
  await putting;
  expect(await storedAt(world, world.main.timeline.lastRecordLsn)).toEqual([[MAP, lastRecordLsn, 'early']]);
});

test('an LSN that does not come, or is no end of a record, is refused', async () => {
  await using world = await open();
  await world.write(20);
  const { lastRecordLsn } = world.main.timeline;
  await expect(put(world, { [MAP]: text('x') }, (lastRecordLsn + 1024) as Lsn)).rejects.toThrow(/LSN/);
  const [before] = world.model.records.slice(-2);
  const within = ((before?.endLsn as number) + 8) as Lsn;
  expect(within).toBeLessThan(lastRecordLsn);
  // Maps are of no LSN.
  await put(world, { [MAP]: text('x') }, within);
  await expect(put(world, { [STATISTICS]: text('x') }, within)).rejects.toThrow(
    `statistics are of the end of a record, and none ends at ${formatLsn(within)}`,
  );
  expect(await storedAt(world, lastRecordLsn)).toEqual([[MAP, before?.endLsn, 'x']]);
});

test.each(['../x', '/etc/passwd', 'base/5/16384_fsm', 'pg_stat/other.stat', 'pg_replslot/a/state', ''])(
  'the path %j is refused, and what came before stays',
  async (path) => {
    await using world = await open();
    await world.write(20);
    await expect(put(world, { [MAP]: text('good'), [path]: text('x') })).rejects.toThrow(
      'a compute keeps nothing under such a path',
    );
    expect(await storedAt(world, world.main.timeline.lastRecordLsn)).toEqual([
      [MAP, world.main.timeline.lastRecordLsn, 'good'],
    ]);
  },
);

test('the largest object is taken, in messages of any size, and a stream that is none is refused', async () => {
  await using world = await open();
  await world.write(20);
  const content = new Uint8Array(AUXILIARY_CONTENT_BYTES_MAX).map((_, index) => index % 251);
  await put(world, { [STATISTICS]: content }, undefined, true);
  const [file] = await world.main.reads.auxiliaryFiles(world.main.timeline.lastRecordLsn, context);
  expect(Buffer.compare(file?.content as Uint8Array, content)).toBe(0);
  const lsn = world.main.timeline.lastRecordLsn;
  const command = {
    kind: 'PutAuxiliary',
    tenantId: TENANT,
    timelineId: MAIN,
    lsn,
    isDurable: false,
  } as const;
  const encoder = new AuxiliaryStreamEncoder();
  const object = (): Uint8Array => encoder.object({ path: MAP, content: text('x') }) as Uint8Array;
  const tooLong = Uint8Array.of(0x43, 2, 0, 0, 0);
  for (const frames of [
    [],
    [encoder.header()],
    [encoder.header(), object()],
    [object(), encoder.end()],
    [encoder.header(), tooLong],
    [encoder.header(), object().fill(0, 8, 9), encoder.end()],
  ]) {
    const failing = connected(world, async (connection) => {
      const receiver = { onCopyData: () => undefined, onCopyEnd: () => undefined };
      const copy = await connection.copyBoth(formatPageServiceCommand(command), receiver);
      for (const frame of frames) copy.sendCopyData(frame);
      await connection.endCopy();
    });
    await expect(failing).rejects.toThrow(/objects beside WAL cannot be read/);
  }
});

test('what was put with --durable is in the bucket', async () => {
  await using world = await open();
  await world.write(20);
  await put(world, { [MAP]: text('kept') }, undefined, true);
  const { timeline } = world.main;
  expect(timeline.remote.projectedRemoteConsistentLsn).toBe(timeline.lastRecordLsn);
  await world.storage.stop();
  await world.storage.start();
  expect(await mapsAt(world)).toEqual({ [MAP]: 'kept' });
});

test('another tenant’s token is refused, and so is an archived timeline', async () => {
  const claims: Record<string, TokenClaims> = {
    own: { scope: 'tenant', tenantId: TENANT },
    other: { scope: 'tenant', tenantId: parseTenantId('9'.repeat(32)) },
  };
  await using world = await open({
    connections: {
      authentication: { mode: 'token', authenticate: async (token) => claims[token] as TokenClaims },
    },
  });
  await world.write(20);
  const lsn = world.main.timeline.lastRecordLsn;
  const command = {
    kind: 'PutAuxiliary',
    tenantId: TENANT,
    timelineId: MAIN,
    lsn,
    isDurable: false,
  } as const;
  const putWith = (token: string): Promise<number> =>
    connected(
      world,
      (connection) => putAuxiliaryObjects(connection, command, given({ [MAP]: text('x') })),
      token,
    );
  const readWith = (token: string): Promise<void> =>
    connected(
      world,
      async (connection) => {
        for await (const _chunk of copyFromPageService(connection, { ...command, kind: 'FreeSpaceMaps' }));
      },
      token,
    );
  await expect(putWith('other')).rejects.toThrow(/a token of scope/);
  await expect(readWith('other')).rejects.toThrow(/a token of scope/);
  expect(await putWith('own')).toBe(1);
  await readWith('own');
  await world.storage.tenant.archiveTimeline(MAIN);
  await expect(putWith('own')).rejects.toThrow(/is archived/);
  await expect(readWith('own')).rejects.toThrow(/is archived/);
});
