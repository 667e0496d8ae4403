// What an agent keeps in storage beside WAL, without a server: files in its place, over a real page service.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import { AuxiliaryKeeper } from '../../src/compute/auxiliary-keeper.ts';
import { ComputeDirectory } from '../../src/compute/compute-directory.ts';
import type { StartSetFork } from '../../src/contracts/start-set.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeServers } from '../../src/io/node/servers.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { FSM_NODES } from '../../src/postgres/page/free-space-map.ts';
import { initializePage, Page } from '../../src/postgres/page/page.ts';
import { PageServiceWorld } from '../page-service/page-service-world.ts';
import { TENANT } from '../page-service/page-test-client.ts';
import { SkippingClock } from '../support/skipping-clock.ts';
import { MAIN } from '../support/storage-world.ts';

const POLL = { timeout: 10_000, interval: 10 };
const SAVE_INTERVAL_MS = 300_000;
const LAST_SAVE_MS = 5000;
const FORKS: readonly StartSetFork[] = [
  { relation: { tablespace: 1663, database: 5, relation: 16_384 }, fork: 0, contentFork: 0, blocks: 100 },
  // Unlogged.
  { relation: { tablespace: 1663, database: 5, relation: 16_385 }, fork: 0, contentFork: 3, blocks: 0 },
];
const sockets = nodeSockets((error) => {
  throw error;
});

let root: string;
let clock: SkippingClock;
let logger: CollectingLogger;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'varve-keeper-'));
  chmodSync(root, 0o711);
  clock = new SkippingClock();
  logger = new CollectingLogger();
});

afterEach(() => rmSync(root, { recursive: true }));

interface Life {
  readonly keeper: AuxiliaryKeeper;
  readonly data: string;
}

async function begin(name: string, port: number, lsn: Lsn): Promise<Life> {
  const doors = { files: nodeFiles, sockets, clock, random: nodeRandom, logger, servers: nodeServers };
  const directory = new ComputeDirectory(join(root, name), doors);
  await directory.prepare();
  for (const each of ['base/5', 'global', 'pg_tblspc', 'pg_stat'])
    mkdirSync(join(directory.dataPath, each), { recursive: true });
  const keeper = new AuxiliaryKeeper(
    {
      compute: {
        tenantId: TENANT,
        timelineId: MAIN,
        pageserver: { address: { host: '127.0.0.1', port } },
        mode: { kind: 'primary' },
      },
      directory,
      header: {
        form: 'primary',
        postgresMajor: 17,
        catalogVersion: 202406281,
        systemIdentifier: 1n,
        walSegmentBytes: 16 * 1024 * 1024,
        hasDataChecksums: false,
        recordEndLsn: lsn,
        previousRecordLsn: lsn,
        nextRecordLsn: lsn,
        walNeededFrom: undefined,
      },
      forks: FORKS,
      commitLsn: () => lsn,
    },
    doors,
  );
  return { keeper, data: directory.dataPath };
}

function writeMap(data: string, relation: number, mark: number): void {
  const page = new Page();
  initializePage(page, 0);
  page.bytes[FSM_NODES] = mark;
  writeFileSync(join(data, `base/5/${relation}_fsm`), page.bytes);
}

const warnings = (): unknown[] => logger.lines.filter(({ level }) => level !== 'debug' && level !== 'info');

async function stored({ main }: PageServiceWorld): Promise<string[]> {
  const { reads, timeline } = main;
  const context = { task: 'page-request', signal: new AbortController().signal } as const;
  return (await reads.auxiliaryFiles(timeline.lastRecordLsn, context)).map(({ path }) => path);
}

test('maps are saved now and then, statistics in the end, and both come to the next life but for what is no more', async () => {
  await using world = await PageServiceWorld.open();
  await world.write(20);
  const { lastRecordLsn } = world.main.timeline;
  const first = await begin('first', world.port, lastRecordLsn);
  for (const relation of [16_384, 16_385, 16_399]) writeMap(first.data, relation, 7);
  writeFileSync(join(first.data, 'pg_stat/pgstat.stat'), 'counts');
  await first.keeper.broughtWithin(60_000);
  const maps = [16_384, 16_385, 16_399].map((relation) => `base/5/${relation}_fsm/0`);
  await expect
    .poll(
      () => {
        clock.skip(SAVE_INTERVAL_MS);
        return stored(world);
      },
      { ...POLL, interval: 500 },
    )
    .toEqual(maps);
  await first.keeper.saveLast(lastRecordLsn, true, new AbortController().signal);
  expect(await stored(world)).toEqual([...maps, 'pg_stat/pgstat.stat.zst']);
  // What was on its way when time was skipped may have been told to hurry.
  logger.lines.length = 0;

  const second = await begin('second', world.port, lastRecordLsn);
  await second.keeper.broughtWithin(60_000);
  expect(readFileSync(join(second.data, 'base/5/16384_fsm'))[FSM_NODES]).toBe(7);
  for (const relation of [16_385, 16_399])
    expect(() => readFileSync(join(second.data, `base/5/${relation}_fsm`))).toThrow(/ENOENT/);
  await second.keeper.saveLast(lastRecordLsn, false, new AbortController().signal);
  expect(await stored(world)).toEqual([maps[0], 'pg_stat/pgstat.stat.zst']);
  expect(warnings()).toEqual([]);
});

test('a pageserver that says nothing holds up neither a start nor an end', async () => {
  await using silent = await sockets.listen({ host: '127.0.0.1', port: 0 }, () => undefined);
  const { port } = silent.address as { readonly port: number };
  const { keeper, data } = await begin('only', port, 1000 as Lsn);
  writeMap(data, 16_384, 7);
  const brought = keeper.broughtWithin(20);
  clock.skip(20);
  await brought;
  const saving = keeper.saveLast(1000 as Lsn, true, new AbortController().signal);
  let isSaved = false;
  void saving.then(() => {
    isSaved = true;
  });
  await expect
    .poll(() => {
      clock.skip(LAST_SAVE_MS / 4);
      return isSaved;
    }, POLL)
    .toBe(true);
  await saving;
  expect(warnings()).toEqual([
    expect.objectContaining({ message: 'Free space maps and statistics could not be saved' }),
  ]);
});

test('a pageserver that is away is said to be, and an end that is to be quick says nothing', async () => {
  const listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, () => undefined);
  const { port } = listener.address as { readonly port: number };
  await listener.close();
  const { keeper, data } = await begin('only', port, 1000 as Lsn);
  writeMap(data, 16_384, 7);
  await keeper.broughtWithin(60_000);
  await keeper.saveLast(1000 as Lsn, true, AbortSignal.abort());
  expect(warnings()).toEqual([
    expect.objectContaining({ message: 'The free space maps could not be brought' }),
  ]);
});
