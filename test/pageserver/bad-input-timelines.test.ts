// Indexes that are not what they should be, ancestors that are missing, junk in local directories, a bucket that hangs, a
// disk that is full, and a node that was replaced: what is hit says so, and everything else goes on.
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { parseTimelineId } from '../../src/base/ids.ts';

import type { Files, UpdatableFile } from '../../src/io/files.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { RM_XACT } from '../../src/postgres/rmgr/resource-manager.ts';
import { ByteWriter } from '../support/record-builder.ts';
import { StorageWorld } from '../support/storage-world.ts';
import { UnreliableObjects } from '../support/unreliable-objects.ts';
import { BadInputWorld, context, errorOf, Side, VICTIM } from './bad-input-world.ts';

const LAYERS_WAITING_MAX = 10;
const BRANCH = parseTimelineId('5'.repeat(32));
const TWIG = parseTimelineId('6'.repeat(32));

async function indexPath({ bucketDirectory }: Side): Promise<string> {
  const names = (await readdir(bucketDirectory)).filter((name) => name.startsWith('timeline-index-'));
  return join(bucketDirectory, names.sort().at(-1) as string);
}

async function changeIndex(side: Side, change: (text: string) => string): Promise<void> {
  const path = await indexPath(side);
  await writeFile(path, change(await readFile(path, 'latin1')), 'latin1');
}

/** A branch of a side's timeline, where it ends, with the WAL that it gets. */
async function branchOf(made: BadInputWorld, parent: Side, timelineId = BRANCH): Promise<Side> {
  const { timeline } = await parent.tenant.createBranch(timelineId, parent.timelineId);
  const { lastRecordLsn, previousRecordLsn } = timeline;
  return new Side(made.world, parent.tenantId, timelineId, lastRecordLsn, previousRecordLsn);
}

async function brokenSeries(
  { tenantId, timelineId }: Side,
  made: BadInputWorld,
): Promise<number | undefined> {
  const labels = `tenant_id="${tenantId}",shard_id="0000",timeline_id="${timelineId}"`;
  return await made.metric(`pageserver_broken_timelines{${labels}}`);
}

const BAD_INDEXES: readonly (readonly [string, (text: string) => string, string])[] = [
  ['is damaged', (text) => text.replace('"postgresMajor":17', '"postgresMajor":16'), 'BAD_TIMELINE_INDEX'],
  ['is empty', () => '', 'BAD_TIMELINE_INDEX'],
  ['is cut', (text) => text.slice(0, text.length / 2), 'BAD_TIMELINE_INDEX'],
  ['has an unknown version', (text) => text.replace(/^(\S+ )\d+/, '$199'), 'UNKNOWN_FORMAT_VERSION'],
];

test.each(BAD_INDEXES)(
  'a timeline whose index %s is broken, its branches with it',
  async (_, change, code) => {
    await using made = await BadInputWorld.open();
    const { victim } = made;
    await victim.fill();
    const branch = await branchOf(made, victim);
    await branch.fill();
    const twig = await branchOf(made, branch, TWIG);
    await twig.fill();
    await made.restart(() => changeIndex(victim, change));
    const { tenant } = victim;
    const broken = new Map(tenant.brokenTimelines.map((each) => [each.timelineId, each]));
    expect([...broken.keys()].sort()).toEqual([VICTIM, BRANCH, TWIG].sort());
    expect(broken.get(VICTIM)).toMatchObject({
      error: { code, place: { file: expect.stringContaining(`${VICTIM}/timeline-index-`) } },
      head: undefined,
    });
    for (const id of [BRANCH, TWIG]) expect(broken.get(id)?.error).toMatchObject({ code: 'ANCESTOR_BROKEN' });
    expect(await errorOf(async () => victim.active)).toBe(broken.get(VICTIM)?.error);
    for (const side of [victim, branch, twig]) expect(await brokenSeries(side, made)).toBe(1);
    // Its name is taken, and it stays as it is.
    expect(
      await errorOf(() => tenant.createBranch(VICTIM, made.others[0]?.timelineId as typeof VICTIM)),
    ).toMatchObject({
      code: 'TIMELINE_EXISTS',
    });
    expect((await readdir(victim.localDirectory)).length).toBeGreaterThan(0);
    await made.othersGoOn();
  },
);

test('a broken timeline is served again when its index is repaired', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const path = await indexPath(victim);
  const good = await readFile(path);
  await made.restart(() => writeFile(path, 'nothing'));
  expect(victim.tenant.brokenTimelines).toHaveLength(1);
  await made.othersGoOn();
  await made.restart(() => writeFile(path, good));
  expect(victim.tenant.brokenTimelines).toHaveLength(0);
  await victim.goesOn();
  expect(await brokenSeries(victim, made)).toBeUndefined();
});

test('an index of another timeline is not taken for its own', async () => {
  await using made = await BadInputWorld.open();
  const { victim, others } = made;
  await victim.fill();
  await made.restart(async () =>
    writeFile(await indexPath(victim), await readFile(await indexPath(others[0] as Side))),
  );
  expect(await errorOf(async () => victim.active)).toMatchObject({
    code: 'BAD_TIMELINE_INDEX',
    reason: expect.stringContaining('another timeline'),
  });
  await made.othersGoOn();
});

test('a timeline whose ancestor is missing is broken', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const branch = await branchOf(made, victim);
  await made.restart(() => rm(victim.bucketDirectory, { recursive: true }));
  expect(victim.tenant.brokenTimelines).toMatchObject([
    { timelineId: BRANCH, error: { code: 'BAD_ANCESTOR' }, head: { timelineId: BRANCH } },
  ]);
  expect(await brokenSeries(branch, made)).toBe(1);
  await made.othersGoOn();
});

test('what a broken branch needs of its ancestor is kept, though nobody knows where it begins', async () => {
  const settings = {
    historyBytes: 0,
    historyMs: 0,
    compactionThreshold: 2,
    imageThreshold: 1,
    bottomThreshold: 2,
  };
  await using made = await BadInputWorld.open({ settings });
  const { victim } = made;
  await victim.fill();
  const branch = await branchOf(made, victim);
  const path = await indexPath(branch);
  const good = await readFile(path);
  await made.restart(() => writeFile(path, 'nothing'));
  const { timeline, upkeep } = victim.active;
  const cutoff = timeline.gcCutoffLsn;
  // A commit, long ago: all before it is too old to be kept.
  const mainData = new ByteWriter().u64(1n).finish();
  victim.writer.append({ resourceManager: RM_XACT, info: 0, xid: 800, mainData });
  for (let count = 0; count < 4; count++) await victim.fill();
  await upkeep.settled();
  expect(await upkeep.collectGarbage()).toBe(0);
  expect(await upkeep.rewriteBottom()).toBe(false);
  expect(timeline.gcCutoffLsn).toBe(cutoff);
  expect(await errorOf(() => victim.tenant.deleteTimeline(VICTIM))).toMatchObject({
    code: 'TIMELINE_HAS_BRANCHES',
  });
  await made.restart(() => writeFile(path, good));
  await branch.goesOn();
  await victim.goesOn();
});

test("a timeline whose directory cannot be used is broken, and so is a tenant's", async () => {
  await using made = await BadInputWorld.open();
  const { victim, others } = made;
  const [, foreign] = others as [Side, Side];
  await victim.fill();
  await made.restart(async () => {
    await rm(victim.localDirectory, { recursive: true });
    await writeFile(victim.localDirectory, 'in the way');
    await rm(join(foreign.localDirectory, '..'), { recursive: true });
    await writeFile(join(foreign.localDirectory, '..'), 'in the way');
  });
  expect(await errorOf(async () => victim.active)).toMatchObject({ place: { file: victim.localDirectory } });
  const status = made.world.storage.statusOf(foreign.tenantId);
  expect(status).toMatchObject({ tenantId: foreign.tenantId, state: 'broken' });
  expect(await errorOf(async () => foreign.tenant)).toBe(status?.error);
  expect(await errorOf(() => made.world.storage.attach(foreign.tenantId))).toMatchObject({
    code: 'TENANT_ATTACHED',
  });
  const labels = `tenant_id="${foreign.tenantId}",shard_id="0000",timeline_id=""`;
  expect(await made.metric(`pageserver_broken_timelines{${labels}}`)).toBe(1);
  await others[0]?.goesOn();
  await made.restart(async () => {
    await rm(victim.localDirectory);
    await rm(join(foreign.localDirectory, '..'));
  });
  await victim.goesOn();
  await made.othersGoOn();
});

test('junk in local directories is removed where it is in the way, and left alone otherwise', async () => {
  const logger = new CollectingLogger();
  await using made = await BadInputWorld.open({ logger });
  const { victim } = made;
  await victim.fill();
  const { localDirectory: directory } = victim;
  const tenantDirectory = join(directory, '..');
  const layers = await readdir(directory);
  const [first, second] = layers.filter((name) => name.includes('-v1-')) as [string, string];
  await made.restart(async () => {
    await writeFile(join(directory, 'notes.txt'), 'mine');
    await mkdir(join(directory, 'a directory'));
    // Directories and links where files should be.
    await rm(join(directory, first));
    await mkdir(join(directory, first));
    await writeFile(join(directory, first, 'x'), 'y');
    await rm(join(directory, second));
    await symlink('/nowhere/at/all', join(directory, second));
    await mkdir(join(directory, 'open-1'));
    await mkdir(join(directory, 'flushed.temporary'));
    await writeFile(join(tenantDirectory, 'notes.txt'), 'mine');
    await mkdir(join(tenantDirectory, 'no timeline'));
    await mkdir(join(tenantDirectory, 'f'.repeat(32)));
    await writeFile(join(tenantDirectory, '..', 'notes.txt'), 'mine');
    await mkdir(join(tenantDirectory, '..', 'e'.repeat(32)));
  });
  await victim.goesOn();
  await made.othersGoOn();
  const left = await readdir(directory);
  expect(left).toEqual(expect.arrayContaining(['notes.txt', 'a directory']));
  expect(left).not.toContain('flushed.temporary');
  expect(await readdir(tenantDirectory)).toEqual(expect.arrayContaining(['notes.txt', 'no timeline']));
  expect(await readdir(tenantDirectory)).not.toContain('f'.repeat(32));
  expect(await readdir(join(tenantDirectory, '..'))).toEqual(expect.arrayContaining(['notes.txt']));
  expect(await readdir(join(tenantDirectory, '..'))).not.toContain('e'.repeat(32));
  expect(JSON.stringify(logger.lines)).toContain('notes.txt');
});

test('names that are not UTF-8 are said, and keep nobody from being served', async () => {
  const logger = new CollectingLogger();
  await using made = await BadInputWorld.open({ logger });
  const { victim } = made;
  await victim.fill();
  const bad = (directory: string): Buffer =>
    Buffer.concat([Buffer.from(`${directory}/`), Buffer.of(0x66, 0xff)]);
  await made.restart(async () => {
    for (const directory of [
      victim.localDirectory,
      join(victim.localDirectory, '..'),
      join(victim.localDirectory, '../..'),
    ]) {
      await writeFile(bad(directory), 'x');
    }
  });
  const local = [...victim.active.timeline.layers].filter(({ isLocal }) => isLocal);
  expect(local.length).toBeGreaterThan(0);
  await victim.goesOn();
  await made.othersGoOn();
  expect(JSON.stringify(logger.lines)).toContain('impossible name');
});

test('a bucket that hangs: ingest goes on until too many layers wait, reads go on, closing is prompt', async () => {
  let objects: UnreliableObjects | undefined;
  await using made = await BadInputWorld.open({
    wrapObjects: (bucket) => (objects = new UnreliableObjects(bucket)),
    settings: { openLayerBytes: 1 },
    layersWaitingMax: LAYERS_WAITING_MAX,
  });
  const { victim } = made;
  await victim.fill();
  const { timeline } = victim.active;
  const unreliable = objects as unknown as UnreliableObjects;
  unreliable.fate = (request) => (request === 'put' ? 'stick' : 'work');
  const uploaded = timeline.remote.projectedRemoteConsistentLsn;
  let isTaken = false;
  const taking = (async () => {
    // A layer each.
    for (let count = 0; count < LAYERS_WAITING_MAX + 8; count++) {
      victim.append(1);
      await victim.take();
    }
    isTaken = true;
  })();
  while (!timeline.remote.isBehind) await new Promise((resolve) => setImmediate(resolve));
  for (const other of made.others) {
    // So many layers that the victim would be done, if it did not wait.
    for (let count = 0; count < LAYERS_WAITING_MAX; count++) {
      other.append(1);
      await other.take();
      await other.active.timeline.flush();
    }
    await other.verify();
  }
  expect(isTaken).toBe(false);
  expect(timeline.remote.waitingLayers).toBeLessThan(LAYERS_WAITING_MAX + 10);
  expect(timeline.remote.projectedRemoteConsistentLsn).toBe(uploaded);
  await victim.verify();
  const labels = `tenant_id="${victim.tenantId}",shard_id="0000",timeline_id="${victim.timelineId}"`;
  expect(await made.metric(`pageserver_timeline_layers_waiting{${labels}}`)).toBeGreaterThan(
    LAYERS_WAITING_MAX,
  );
  const closing = performance.now();
  const [ended] = await Promise.all([errorOf(() => taking), made.world.stop()]);
  expect(ended).toMatchObject({ kind: 'cancelled' });
  expect(performance.now() - closing).toBeLessThan(5000);
  unreliable.fate = () => 'work';
  await made.world.start();
  await victim.goesOn();
  await made.othersGoOn();
}, 60_000);

test('when the bucket works again, ingest goes on', async () => {
  let objects: UnreliableObjects | undefined;
  await using made = await BadInputWorld.open({
    wrapObjects: (bucket) => (objects = new UnreliableObjects(bucket)),
    settings: { openLayerBytes: 1 },
    layersWaitingMax: LAYERS_WAITING_MAX,
  });
  const { victim } = made;
  const { timeline } = victim.active;
  const unreliable = objects as unknown as UnreliableObjects;
  unreliable.fate = (request, key) => (request === 'put' && key.includes(VICTIM) ? 'fail' : 'work');
  const taking = (async () => {
    for (let count = 0; count < LAYERS_WAITING_MAX + 20; count++) {
      victim.append(1);
      await victim.take();
    }
  })();
  while (!timeline.remote.isBehind) await new Promise((resolve) => setImmediate(resolve));
  expect(await made.metric('pageserver_remote_layer_upload_errors_total')).toBeGreaterThan(0);
  unreliable.fate = () => 'work';
  await taking;
  await victim.goesOn();
}, 60_000);

test('ingest waits for a bucket that it has to read from', async () => {
  let objects: UnreliableObjects | undefined;
  await using made = await BadInputWorld.open({
    wrapObjects: (bucket) => (objects = new UnreliableObjects(bucket)),
  });
  const { victim } = made;
  await victim.fill();
  await made.restart(async () => {
    await rm(victim.localDirectory, { recursive: true });
    let failures = 0;
    (objects as unknown as UnreliableObjects).fate = (request, key) =>
      request === 'get' && key.includes(VICTIM) && !key.includes('timeline-index') && failures++ < 4
        ? 'fail'
        : 'work';
  });
  await victim.goesOn();
  await made.othersGoOn();
});

/** A disk that is full for files of some names. */
class FullDisk {
  isFull: (path: string) => boolean = () => false;
  readonly files: Files;

  constructor() {
    const refuse = (path: string): void => {
      if (this.isFull(path))
        throw new VarveError('unavailable', 'FILE_IO', 'ENOSPC: no space left', { file: path });
    };
    this.files = {
      ...nodeFiles,
      create: async (path, content) => {
        refuse(path);
        await nodeFiles.create(path, content);
      },
      openForUpdate: async (path) => {
        refuse(path);
        const file = await nodeFiles.openForUpdate(path);
        const write: UpdatableFile['write'] = async (source, start, length, position) => {
          refuse(path);
          await file.write(source, start, length, position);
        };
        return new Proxy(file, {
          get: (target, name) => {
            if (name === 'write') return write;
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      },
    };
  }
}

test.each([
  ['before the first byte', 1],
  ['while WAL is taken in', 400],
])(
  'a full disk, %s: ingest waits, reads go on, and so does ingest when there is room',
  async (_, count) => {
    const disk = new FullDisk();
    await using made = await BadInputWorld.open({ files: disk.files });
    const { victim } = made;
    await victim.fill();
    const before = victim.active.timeline.lastRecordLsn;
    if (count > 1) {
      victim.append(1);
      await victim.take();
    }
    disk.isFull = (path) => path.startsWith(victim.localDirectory);
    victim.append(count);
    let isTaken = false;
    const taking = victim.take().then(() => {
      isTaken = true;
    });
    await made.othersGoOn();
    expect(isTaken).toBe(false);
    await victim.verify();
    expect(await victim.markOf(0, before)).toBe(16);
    disk.isFull = () => false;
    await taking;
    await victim.goesOn();
  },
  30_000,
);

test('a full disk, while layers are flushed: it is tried again', async () => {
  const disk = new FullDisk();
  await using made = await BadInputWorld.open({ files: disk.files });
  const { victim } = made;
  victim.append(10);
  await victim.take();
  disk.isFull = (path) => path.startsWith(victim.localDirectory) && !path.includes('/open-');
  const flushing = victim.active.timeline.flush();
  await made.othersGoOn();
  await victim.verify();
  expect(victim.active.timeline.frozenLayers).toBe(1);
  disk.isFull = () => false;
  await flushing;
  expect(
    await made.metric('pageserver_storage_operation_errors_total{operation="layer flush"}'),
  ).toBeGreaterThan(0);
  await victim.goesOn();
}, 30_000);

test('a node that was replaced removes nothing, tells safekeepers nothing, and says so', async () => {
  await using made = await BadInputWorld.open({
    settings: { compactionThreshold: 2, historyBytes: 0, historyMs: 0 },
  });
  const { victim, others } = made;
  await victim.fill();
  const { timeline } = victim.active;
  while (timeline.remote.visibleRemoteConsistentLsn < timeline.lastRecordLsn) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const told = timeline.remote.visibleRemoteConsistentLsn;
  const before = await readdir(victim.bucketDirectory);
  // Another node attaches the tenant.
  await made.world.generations.attach(victim.tenantId, context.signal);
  for (let count = 0; count < 4; count++) await victim.fill();
  await victim.active.upkeep.settled();
  await timeline.remote.waitForUploads(context.signal);
  while (!timeline.remote.isStale) await new Promise((resolve) => setImmediate(resolve));
  expect(timeline.remote.visibleRemoteConsistentLsn).toBe(told);
  const labels = `tenant_id="${victim.tenantId}",shard_id="0000",timeline_id="${victim.timelineId}"`;
  expect(await made.metric(`pageserver_timeline_stale{${labels}}`)).toBe(1);
  expect(await made.metric('pageserver_remote_stale_index_uploads_total')).toBeGreaterThan(0);
  await victim.verify();
  await others[1]?.goesOn();
  await made.world.stop();
  expect(await readdir(victim.bucketDirectory)).toEqual(expect.arrayContaining(before));
  expect(await made.metric('pageserver_deletion_queue_executed_total')).toBe(0);
});

test('a directory is locked: a second pageserver is refused, and another one later', async () => {
  await using world = await StorageWorld.open();
  expect(await errorOf(() => world.start())).toMatchObject({
    kind: 'conflict',
    code: 'DIRECTORY_IN_USE',
    reason: expect.stringContaining('pageserver'),
  });
  expect(await readFile(join(world.directory, 'local/pageserver.id'), 'utf8')).toBe('1\n');
  await world.stop();
  await writeFile(join(world.directory, 'local/pageserver.id'), '2\n');
  expect(await errorOf(() => world.start())).toMatchObject({ kind: 'precondition', code: 'WRONG_NODE' });
  await writeFile(join(world.directory, 'local/pageserver.id'), '1\n');
  await world.start();
});
