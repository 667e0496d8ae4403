import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { parseTimelineId } from '../../src/base/ids.ts';
import { formatLsn, type Lsn, toLsn } from '../../src/base/lsn.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/base/tar/tar-writer.ts';
import { parsePageServiceCommand } from '../../src/contracts/page-commands.ts';
import { HttpApp } from '../../src/http/app.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { silentLogger } from '../../src/observe/log.ts';
import { administerStorage } from '../../src/pageserver/administration/storage-administration.ts';
import { streamBackup } from '../../src/pageserver/backup/stream-backup.ts';
import { addPageserverRoutes } from '../../src/pageserver/http/routes.ts';
import { importWal } from '../../src/pageserver/import/import-wal.ts';
import { imports } from '../../src/pageserver/import/imports.ts';
import type { InitialCluster } from '../../src/pageserver/initial-layer.ts';
import { timelinePrefix } from '../../src/pageserver/remote/object-keys.ts';
import { toIndexLayer } from '../../src/pageserver/remote/timeline-index.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import {
  type ControlFile,
  decodeControlFile,
  encodeControlFile,
} from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { WAL_HEADER_SYSTEM_IDENTIFIER } from '../../src/postgres/wal/page-header.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { StorageWorld } from '../support/storage-world.ts';
import { UnreliableObjects } from '../support/unreliable-objects.ts';
import { CONTEXT, FULL } from './backup-world.ts';
import { backUp, type RunningBackup, tarOf } from './import-world.ts';

const IMPORTED = parseTimelineId('a'.repeat(32));
const COPY = parseTimelineId('b'.repeat(32));
const SEGMENT_BYTES = 1024 * 1024;
const TIMEOUT_MS = 120_000;

let server: StockPostgres;
let scratch: string;
let backup: RunningBackup;
/** The server when it was stopped, and what it has written last. */
let stopped: ControlFile;
let walDirectory: string;
let world: StorageWorld;
let objects: UnreliableObjects;
let client: PageserverClient;
let signal: AbortSignal;

const segmentOf = (lsn: number): string =>
  formatSegmentName(1, segmentNumber(lsn, SEGMENT_BYTES), SEGMENT_BYTES);
const endOfStopped = (): Lsn => toLsn(stopped.checkPoint + 0x78);

beforeAll(async () => {
  server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    initdbArguments: ['--data-checksums'],
    settings: { fsync: false, autovacuum: false, wal_keep_size: '1TB', max_prepared_transactions: 5 },
  });
  scratch = join(server.rootDirectory, 'scratch');
  await server.start();
  await server.query('CREATE TABLE filled AS SELECT i, repeat($$x$$, 100) FROM generate_series(1, 20000) i');
  await server.query("BEGIN; INSERT INTO filled VALUES (-1); PREPARE TRANSACTION 'kept'");
  await server.query('CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 1000) AS i');
  backup = await backUp(server, join(server.rootDirectory, 'backup'));
  await server.query('DROP TABLE unlogged');
  await server.query('INSERT INTO filled SELECT i FROM generate_series(1, 20000) i');
  await server.stop();
  stopped = decodeControlFile(POSTGRES_17, await readFile(join(server.dataDirectory, 'global/pg_control')));
  walDirectory = join(server.dataDirectory, 'pg_wal');
  world = await StorageWorld.open({
    wrapObjects: (bucket) => {
      objects = new UnreliableObjects(bucket);
      return objects;
    },
  });
  await world.storage.attach(world.tenantId);
  const app = new HttpApp({
    title: 'Varve pageserver',
    version: '0.0.0',
    gate: 'pageserver',
    verifier: undefined,
    logger: silentLogger,
    metrics: world.metrics,
    clock: nodeClock,
    random: nodeRandom,
  });
  const extensions = imports(nodeFiles);
  addPageserverRoutes(
    app,
    administerStorage({ nodeId: 7, directory: world.directory, storage: world.storage, extensions }),
  );
  client = new PageserverClient({
    http: {
      serve: () => Promise.reject(new Error('not served')),
      request: (request) => app.handler(request, 'test'),
    },
    clock: nodeClock,
    baseUrl: 'http://pageserver:9898',
  });
}, TIMEOUT_MS);
beforeEach(() => {
  signal = new AbortController().signal;
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await server?.dispose();
});

interface Query {
  readonly base_lsn: number;
  readonly end_lsn: number;
  readonly pg_version: number;
}

const runningQuery = (): Query => ({ base_lsn: backup.baseLsn, end_lsn: backup.endLsn, pg_version: 17 });
const stoppedQuery = (): Query => ({
  base_lsn: stopped.checkPoint,
  end_lsn: stopped.checkPoint,
  pg_version: 17,
});

const send = (query: Query, tar: AsyncIterable<Uint8Array>): Promise<void> =>
  client.importBaseBackup(
    { tenant_id: world.tenantId, timeline_id: IMPORTED },
    { ...query, base_lsn: toLsn(query.base_lsn), end_lsn: toLsn(query.end_lsn) },
    tar,
    signal,
  );

/** Neither here nor in the bucket. */
async function expectNothing(): Promise<void> {
  expect(world.tenant.timelines).toEqual([]);
  const keys = await Array.fromAsync(
    objects.list(timelinePrefix({ tenantId: world.tenantId, timelineId: IMPORTED }), CONTEXT.signal),
  );
  expect(keys).toEqual([]);
  const local = `${world.directory}/local/tenants/${world.tenantId}`;
  expect((await nodeFiles.list(local)).filter((name) => name.includes(IMPORTED))).toEqual([]);
}

async function discard(): Promise<void> {
  await world.tenant.deleteTimeline(IMPORTED);
}

const stoppedCluster = (): InitialCluster => ({
  files: nodeFiles,
  directory: server.dataDirectory,
  version: POSTGRES_17,
});

/** A copy of a cluster, changed. */
async function changed(directory: string, change: (copy: string) => Promise<void>): Promise<string> {
  await rm(scratch, { recursive: true, force: true });
  await cp(directory, scratch, { recursive: true });
  await change(scratch);
  return scratch;
}

const withControl =
  (change: (control: ControlFile) => Partial<ControlFile>) =>
  async (directory: string): Promise<void> => {
    const path = join(directory, 'global/pg_control');
    const control = decodeControlFile(POSTGRES_17, await readFile(path));
    await writeFile(path, encodeControlFile(POSTGRES_17, { ...control, ...change(control) }));
  };
const withLabel =
  (from: RegExp, to: string) =>
  async (directory: string): Promise<void> => {
    const path = join(directory, 'backup_label');
    await writeFile(path, (await readFile(path, 'utf8')).replace(from, to));
  };
const withFile =
  (path: () => string, change: (bytes: Buffer) => void) =>
  async (directory: string): Promise<void> => {
    const bytes = await readFile(join(directory, path()));
    change(bytes);
    await writeFile(join(directory, path()), bytes);
  };
const without =
  (path: () => string) =>
  (directory: string): Promise<void> =>
    rm(join(directory, path()), { recursive: true });

const REFUSED_BACKUPS: [what: string, code: string, change: (directory: string) => Promise<void>][] = [
  ['without a control file', 'INCOMPLETE', without(() => 'global/pg_control')],
  ['without databases', 'INCOMPLETE', without(() => 'base')],
  ['of another version', 'WRONG_POSTGRES_VERSION', (copy) => writeFile(join(copy, 'PG_VERSION'), '16\n')],
  ['without its WAL', 'BACKUP_WITHOUT_WAL', without(() => 'pg_wal')],
  ['without a segment', 'WAL_MISSING', without(() => `pg_wal/${segmentOf(backup.endLsn)}`)],
  ['without its label', 'CLUSTER_NOT_SHUT_DOWN', without(() => 'backup_label')],
  ['with a label that says nothing', 'BAD_BACKUP_LABEL', (copy) => writeFile(join(copy, 'backup_label'), '')],
  ['with the label of another', 'WRONG_BASE_LSN', withLabel(/(START WAL LOCATION: )\S+/, '$10/28')],
  ['of another timeline', 'WRONG_WAL_TIMELINE', withLabel(/START TIMELINE: 1/, 'START TIMELINE: 2')],
  ['that is incremental', 'INCREMENTAL_BACKUP', withLabel(/^/, 'INCREMENTAL FROM LSN: 0/28\n')],
  ['that is none of a standby', 'BAD_BACKUP_LABEL', withLabel(/FROM: primary/, 'FROM: standby')],
  [
    'with an old control file',
    'CONTROL_FILE_TOO_OLD',
    withControl(({ checkPointCopy }) => ({ checkPointCopy: { ...checkPointCopy, redo: toLsn(0x28) } })),
  ],
  [
    'that went on after a promotion',
    'WRONG_WAL_TIMELINE',
    withControl(({ checkPointCopy }) => ({ checkPointCopy: { ...checkPointCopy, thisTimelineId: 2 } })),
  ],
  ['with the WAL of another system', 'BAD_WAL', withControl(() => ({ systemIdentifier: 77n }))],
  [
    'with damaged WAL',
    'BAD_WAL',
    withFile(
      () => `pg_wal/${segmentOf(backup.endLsn)}`,
      (bytes) => bytes.fill(0xab, (backup.endLsn % SEGMENT_BYTES) - 20, backup.endLsn % SEGMENT_BYTES),
    ),
  ],
  [
    'with damaged pages',
    'BAD_PAGE_CHECKSUM',
    withFile(
      () => 'base/1/1259',
      (bytes) => bytes.fill(7, 5000, 5010),
    ),
  ],
  [
    'with a damaged control file',
    'BAD_CONTROL_FILE_CRC',
    withFile(
      () => 'global/pg_control',
      (bytes) => bytes.fill(7, 60, 70),
    ),
  ],
  [
    'with tablespaces',
    'CLUSTER_HAS_TABLESPACES',
    async (copy) => {
      await mkdir(join(copy, 'pg_tblspc'), { recursive: true });
      await symlink('/tmp', join(copy, 'pg_tblspc/16999'));
    },
  ],
  ['with links', 'BAD_ARCHIVE', (copy) => symlink('/etc/passwd', join(copy, 'base/1/99999'))],
];

test.each(REFUSED_BACKUPS)(
  'PS-17: a backup %s is refused as %s, and leaves nothing',
  { timeout: TIMEOUT_MS },
  async (_, code, change) => {
    const directory = await changed(backup.directory, change);
    await expect(send(runningQuery(), tarOf(directory))).rejects.toMatchObject({
      code,
      kind: expect.stringMatching(/^(bad-request|precondition)$/),
    });
    await expectNothing();
  },
);

test('PS-17: an import that asks for what the archive has not is refused, and leaves nothing', {
  timeout: TIMEOUT_MS,
}, async () => {
  const cases: [query: Partial<Query>, code: string | RegExp][] = [
    [{ pg_version: 16 }, 'UNKNOWN_POSTGRES_VERSION'],
    [{ base_lsn: backup.baseLsn + 8 }, 'WRONG_BASE_LSN'],
    [{ end_lsn: backup.baseLsn - 8 }, 'BAD_RANGE'],
    [{ end_lsn: backup.baseLsn }, 'WAL_ENDS_EARLY'],
    [{ end_lsn: backup.endLsn - 8 }, 'END_IN_RECORD'],
    // There may be files that are to be written anew.
    [{ end_lsn: backup.endLsn + 64 * SEGMENT_BYTES }, /WAL/],
  ];
  for (const [query, code] of cases) {
    await expect(send({ ...runningQuery(), ...query }, tarOf(backup.directory))).rejects.toMatchObject({
      kind: 'bad-request',
      code: expect.stringMatching(code),
    });
    await expectNothing();
  }
  await expect(
    send({ ...stoppedQuery(), base_lsn: backup.baseLsn }, tarOf(server.dataDirectory)),
  ).rejects.toMatchObject({ code: 'WRONG_BASE_LSN' });
  await expectNothing();
});

async function* pieces(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

test('PS-17: what is no archive of a cluster is refused, and leaves nothing', async () => {
  const file = (name: string, content = new Uint8Array(0), sizeBytes = content.length): Uint8Array[] => [
    tarHeader({ name, sizeBytes }),
    content,
    tarPadding(content.length),
  ];
  const outside = tarHeader({ name: 'xx/PG_VERSION', sizeBytes: 0 });
  outside.set(Buffer.from('../'), 0);
  const sum = outside.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
  outside.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  const cases: [parts: Uint8Array[], code: string][] = [
    [[], 'BAD_ARCHIVE'],
    [[new Uint8Array(2000).fill(7)], 'BAD_ARCHIVE'],
    [[tarEnd()], 'INCOMPLETE'],
    [[...file('PG_VERSION', Buffer.from('17\n'))], 'BAD_ARCHIVE'],
    [[...file('PG_VERSION'), ...file('PG_VERSION'), tarEnd()], 'DUPLICATE_FILE'],
    [[...file('PG_VERSION', new Uint8Array(0), 2 ** 32)], 'ARCHIVE_TOO_LARGE'],
    [[...file('base/1/2', new Uint8Array(0), 2 ** 31)], 'ARCHIVE_TOO_LARGE'],
    [[outside, tarEnd()], 'BAD_ARCHIVE'],
  ];
  for (const [parts, code] of cases) {
    await expect(send(runningQuery(), pieces(...parts))).rejects.toMatchObject({ kind: 'bad-request', code });
    await expectNothing();
  }
});

test('PS-17: where the sender goes, or the WAL cannot be taken in, nothing is left, and it can be done again', {
  timeout: TIMEOUT_MS,
}, async () => {
  const gone = new AbortController();
  async function* broken(): AsyncGenerator<Uint8Array> {
    let length = 0;
    for await (const chunk of tarOf(backup.directory)) {
      yield chunk;
      length += chunk.length;
      if (length > 3e6) gone.abort();
    }
  }
  const { importBaseBackup } = imports(nodeFiles);
  const query = runningQuery() as Parameters<typeof importBaseBackup>[2];
  await expect(importBaseBackup(world.tenant, IMPORTED, query, broken(), gone.signal)).rejects.toMatchObject({
    kind: 'cancelled',
  });
  await expectNothing();
  // Layers are in the bucket already.
  const failing = world.tenant.importTimeline(IMPORTED, {
    bring: async () => stoppedCluster(),
    takeWal: async (timeline) => {
      for (const layer of timeline.layers)
        await timeline.remote.whenUploaded(toIndexLayer(layer).name, CONTEXT.signal);
      const keys = await Array.fromAsync(
        objects.list(timelinePrefix({ tenantId: world.tenantId, timelineId: IMPORTED }), CONTEXT.signal),
      );
      expect(keys.map(({ key }) => key.includes('index'))).toEqual([false]);
      throw new VarveError('bad-request', 'TEST', 'no');
    },
  });
  await expect(failing).rejects.toMatchObject({ code: 'TEST' });
  await expectNothing();
  await send(runningQuery(), tarOf(backup.directory));
  expect(world.tenant.timeline(IMPORTED).timeline.lastRecordLsn).toBe(backup.endLsn);
  await expect(send(runningQuery(), tarOf(backup.directory))).rejects.toMatchObject({
    kind: 'conflict',
    code: 'TIMELINE_EXISTS',
  });
  await discard();
  await expectNothing();
});

test('PS-16: a stopped cluster needs no WAL; with it, or behind a full backup of ours, it goes on', {
  timeout: TIMEOUT_MS,
}, async () => {
  await send(stoppedQuery(), tarOf(server.dataDirectory, ['--exclude=./pg_wal/0*']));
  const bare = world.tenant.timeline(IMPORTED).timeline;
  expect([bare.initialLsn, bare.lastRecordLsn]).toEqual([stopped.checkPoint, stopped.checkPoint]);
  const rest = { start_lsn: stopped.checkPoint, end_lsn: endOfStopped() };
  await client.importWal(
    { tenant_id: world.tenantId, timeline_id: IMPORTED },
    rest,
    tarOf(walDirectory),
    signal,
  );
  expect(bare.lastRecordLsn).toBe(endOfStopped());
  await discard();

  await send({ ...stoppedQuery(), end_lsn: endOfStopped() }, tarOf(server.dataDirectory));
  const first = world.tenant.timeline(IMPORTED);
  expect(first.timeline.lastRecordLsn).toBe(endOfStopped());
  // What a full backup of that one makes is the same again.
  const key = { tenant_id: world.tenantId, timeline_id: COPY };
  const again = { base_lsn: endOfStopped(), end_lsn: endOfStopped(), pg_version: 17 };
  await client.importBaseBackup(key, again, streamBackup(first, FULL, CONTEXT), signal);
  const copy = world.tenant.timeline(COPY);
  for (const active of [first, copy]) {
    const size = await active.reads.databaseSize(1663, 5, active.timeline.lastRecordLsn, CONTEXT);
    expect(size).toBe(await first.reads.databaseSize(1663, 5, first.timeline.lastRecordLsn, CONTEXT));
  }
  await world.tenant.deleteTimeline(COPY);
  await discard();
});

test('PS-17: WAL that does not go on, or is not whole, is refused, and none of it is taken', {
  timeout: TIMEOUT_MS,
}, async () => {
  await send(runningQuery(), tarOf(backup.directory));
  const active = world.tenant.timeline(IMPORTED);
  const { timeline } = active;
  const key = { tenant_id: world.tenantId, timeline_id: IMPORTED };
  const good = { start_lsn: backup.endLsn, end_lsn: endOfStopped() };
  const expectRefused = async (
    change: Partial<{ start_lsn: number; end_lsn: number }>,
    directory: string,
    refusal: object,
  ): Promise<void> => {
    const query = { ...good, ...change } as typeof good;
    await expect(client.importWal(key, query, tarOf(directory), signal)).rejects.toMatchObject(refusal);
    expect(timeline.lastRecordLsn).toBe(backup.endLsn);
    expect((await nodeFiles.list(timeline.directory)).filter((name) => name.includes('wal'))).toEqual([]);
  };
  const precondition = { kind: 'precondition', code: 'WRONG_START_LSN' };
  await expectRefused({ start_lsn: backup.endLsn - 8 }, walDirectory, precondition);
  await expectRefused({ end_lsn: backup.endLsn - 8 }, walDirectory, { code: 'BAD_RANGE' });
  await expectRefused({ end_lsn: endOfStopped() - 8 }, walDirectory, { code: 'END_IN_RECORD' });
  await expectRefused({ end_lsn: endOfStopped() + 8 }, walDirectory, { code: 'WAL_ENDS_EARLY' });
  const last = (): string => segmentOf(stopped.checkPoint);
  const lacking = await changed(walDirectory, without(last));
  await expectRefused({}, lacking, { kind: 'bad-request', code: 'WAL_MISSING' });
  const foreign = withFile(last, (bytes) =>
    bytes.writeUInt8(bytes.readUInt8(WAL_HEADER_SYSTEM_IDENTIFIER) ^ 1, WAL_HEADER_SYSTEM_IDENTIFIER),
  );
  await expectRefused({}, await changed(walDirectory, foreign), { kind: 'bad-request', code: 'BAD_WAL' });

  // One at a time; and an intake that has been overtaken says so.
  const overtaken = await TimelineIntake.start(timeline);
  const firstImport = importWal(nodeFiles, active, good, tarOf(walDirectory), signal);
  await expect(importWal(nodeFiles, active, good, tarOf(walDirectory), signal)).rejects.toMatchObject({
    kind: 'conflict',
    code: 'IMPORT_UNDER_WAY',
  });
  await firstImport;
  expect(formatLsn(timeline.lastRecordLsn)).toBe(formatLsn(endOfStopped()));
  expect(timeline.remote.projectedRemoteConsistentLsn).toBe(endOfStopped());
  const segment = await readFile(join(walDirectory, segmentOf(backup.endLsn)));
  await expect(overtaken.take(segment.subarray(backup.endLsn % SEGMENT_BYTES))).rejects.toMatchObject({
    kind: 'conflict',
    code: 'WAL_COMES_FROM_ELSEWHERE',
  });
  expect(timeline.lastRecordLsn).toBe(endOfStopped());
  await discard();
});

test('PS-16: the page service knows nothing of imports', () => {
  for (const command of ['import basebackup', 'import wal']) {
    const text = `${command} ${world.tenantId} ${IMPORTED} 0/28 0/28 17`;
    expect(() => parsePageServiceCommand(text)).toThrow(expect.objectContaining({ code: 'UNKNOWN_COMMAND' }));
  }
});
