import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import { tarEnd } from '../../src/base/tar/tar-writer.ts';
import type { BackupOptions } from '../../src/pageserver/backup/backup-options.ts';
import { streamBackup } from '../../src/pageserver/backup/stream-backup.ts';
import { decodeControlFile } from '../../src/postgres/files/control-file.ts';
import { computePageChecksum } from '../../src/postgres/page/checksum.ts';
import { isNewPage, PAGE_CHECKSUM, Page } from '../../src/postgres/page/page.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { RestoredServer, unpackTar } from '../support/restored-server.ts';
import { BackupWorld, CONTEXT, collectBytes, FULL, readArchive } from './backup-world.ts';

const BASE: BackupOptions = { ...FULL, kind: 'base' };
const STATEMENTS = [
  'CREATE TABLE t (id serial PRIMARY KEY, v text)',
  "INSERT INTO t (v) SELECT repeat('x', 100) || i FROM generate_series(1, 20000) i",
  'CREATE UNLOGGED TABLE u (id int PRIMARY KEY)',
  'INSERT INTO u SELECT generate_series(1, 1000)',
  "CREATE TABLESPACE elsewhere LOCATION ''",
  'CREATE TABLE there (id int) TABLESPACE elsewhere',
  'INSERT INTO there VALUES (7)',
  'CREATE DATABASE other STRATEGY wal_log',
  "SELECT pg_create_logical_replication_slot('slot', 'pgoutput')",
  "SELECT pg_replication_origin_create('origin'); SELECT pg_replication_origin_advance('origin', '0/123')",
  'VACUUM t',
  "BEGIN; INSERT INTO t (v) VALUES ('prepared'); PREPARE TRANSACTION 'p'",
  'CHECKPOINT',
];

let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.open({
    statements: STATEMENTS,
    initdbArguments: ['--data-checksums'],
    serverSettings: { wal_level: 'logical', max_prepared_transactions: 3, allow_in_place_tablespaces: true },
  });
}, 120_000);
afterAll(() => world[Symbol.asyncDispose]());

test('a base backup has what Neon’s has, in its order', async () => {
  const { timeline } = world.main;
  const state = await readFile(join(world.server.dataDirectory, 'pg_replslot/slot/state'));
  await timeline.putAuxiliaryFile('pg_replslot/slot/state', state);
  await timeline.putAuxiliaryFile('pg_replslot/broken/state', new Uint8Array(200));
  await timeline.putAuxiliaryFile('pg_logical/snapshots/0-1.snap', new Uint8Array(3));
  for (const path of [
    'pg_replslot/../state',
    'pg_logical/snapshots/../../../x',
    'global/pg_control',
    '/etc/x',
  ]) {
    await timeline.putAuxiliaryFile(path, new Uint8Array(3));
  }
  const { names, contents } = await readArchive(streamBackup(world.main, BASE, CONTEXT));
  const places = [
    'base/',
    'pg_hba.conf',
    'pg_ident.conf',
    'postgresql.auto.conf',
    'pg_xact/0000',
    'PG_VERSION',
    'base/1/PG_VERSION',
    'base/1/pg_filenode.map',
    expect.stringMatching(/^base\/5\/\d+_init$/),
    expect.stringMatching(/^pg_twophase\/[0-9A-F]{16}$/),
    'pg_logical/replorigin_checkpoint',
    'pg_logical/snapshots/0-1.snap',
    'pg_replslot/slot/',
    'pg_replslot/slot/state',
    'restart.lsn',
    'neon.signal',
    'zenith.signal',
    'global/pg_control',
    expect.stringMatching(/^pg_wal\/00000001[0-9A-F]{16}$/),
  ];
  const found = places.map((place) =>
    names.findIndex((name) => place === name || place.asymmetricMatch?.(name)),
  );
  expect(found).not.toContain(-1);
  expect(found).toEqual(found.toSorted((left, right) => left - right));
  expect(found.at(-1)).toBe(names.length - 1);
  expect(names.some((name) => name.includes('..') || name.includes('broken') || name === 'etc/x')).toBe(
    false,
  );
  expect(
    names
      .filter((name) => /^base\/\d+\/\d+(_vm)?$/.test(name))
      .every((name) => names.includes(`${name}_init`)),
  ).toBe(true);
  expect(names).not.toContain('postgresql.conf');
  expect(contents.get('PG_VERSION')).toEqual(new TextEncoder().encode('17\n'));
  const text = (name: string): string => new TextDecoder().decode(contents.get(name));
  expect(text('zenith.signal')).toMatch(/^PREV LSN: 0\/[0-9A-F]+$/);
  expect(contents.get('restart.lsn')).toEqual(new Uint8Array(state.subarray(96, 104)));
  const replica = await readArchive(streamBackup(world.main, { ...BASE, isReplica: true }, CONTEXT));
  expect(replica.names).toEqual(names.filter((name) => !/^(pg_replslot\/.|restart\.lsn)/.test(name)));
});

test('a full backup has every relation, with checksums, and what can be started without WAL from before', async () => {
  const { names, contents } = await readArchive(streamBackup(world.main, FULL, CONTEXT));
  expect(names).toContain('postgresql.conf');
  expect(
    names.some((name) => /^(pg_replslot|pg_logical\/snapshots)\/./.test(name) || name === 'restart.lsn'),
  ).toBe(false);
  expect(names.filter((name) => /^pg_tblspc\/\d+\/PG_17_202406281\/5\/\d+$/.test(name))).toHaveLength(1);
  let pages = 0;
  for (const [name, bytes] of contents) {
    if (!/^(global|base\/\d+|pg_tblspc\/.*)\/\d+(_vm|_init)?$/.test(name)) continue;
    for (let at = 0; at < bytes.length; at += 8192) {
      const page = new Page(bytes.subarray(at, at + 8192));
      if (isNewPage(page)) continue;
      pages++;
      if (page.view.getUint16(PAGE_CHECKSUM, true) !== computePageChecksum(page, at / 8192)) {
        expect.fail(`${name} ${at / 8192}`);
      }
    }
  }
  expect(pages).toBeGreaterThan(2000);
  const control = decodeControlFile(POSTGRES_17, contents.get('global/pg_control') ?? new Uint8Array(0));
  expect(control.state).toBe('shut down');
});

test('gzip and zstd decode to the same bytes, and a second backup has them too', async () => {
  const plain = await collectBytes(streamBackup(world.main, FULL, CONTEXT));
  const lsn = world.main.timeline.lastRecordLsn;
  const again = await collectBytes(streamBackup(world.main, { ...FULL, lsn }, CONTEXT));
  expect(Buffer.compare(plain, again)).toBe(0);
  const gzip = await collectBytes(streamBackup(world.main, { ...FULL, compression: 'gzip' }, CONTEXT));
  const zstd = await collectBytes(streamBackup(world.main, { ...FULL, compression: 'zstd' }, CONTEXT));
  expect(Buffer.compare(plain, gunzipSync(gzip))).toBe(0);
  expect(Buffer.compare(plain, zstdDecompressSync(zstd))).toBe(0);
  expect(Math.max(gzip.length, zstd.length)).toBeLessThan(plain.length / 2);
});

test('what is cut off does not start', { timeout: 120_000 }, async () => {
  const plain = await collectBytes(streamBackup(world.main, FULL, CONTEXT));
  const control = Buffer.from(plain.buffer, plain.byteOffset, plain.length).lastIndexOf(
    'global/pg_control\0',
  );
  expect(control % 512).toBe(0);
  async function* cut(length: number, end: Uint8Array): AsyncGenerator<Uint8Array> {
    yield plain.subarray(0, length);
    yield end;
  }
  const nothing = new Uint8Array(0);
  await mkdir(join(world.server.rootDirectory, 'cut'));
  await expect(
    unpackTar(cut(control + 700, nothing), join(world.server.rootDirectory, 'cut')),
  ).rejects.toThrow('Unexpected EOF');
  await rm(join(world.server.rootDirectory, 'cut'), { recursive: true });
  // Even if somebody has mended the end.
  await using restored = await RestoredServer.create(async (directory) => {
    await unpackTar(cut(control, tarEnd()), directory);
  });
  await expect(restored.server.start()).rejects.toThrow('could not find the database system');
  // The control file alone makes no difference without its WAL.
  await using later = await RestoredServer.create(async (directory) => {
    await unpackTar(cut(control + 512 + 8192, tarEnd()), directory);
  });
  await expect(later.server.start()).rejects.toThrow('could not locate a valid checkpoint record');
  await using whole = await RestoredServer.create(async (directory) => {
    await unpackTar(cut(plain.length, nothing), directory);
  });
  await whole.server.start();
  expect(await whole.server.query('SELECT count(*)::int AS n FROM t')).toEqual([{ n: 20_000 }]);
  expect(await whole.server.query('SELECT * FROM there')).toEqual([{ id: 7 }]);
  expect(await whole.server.query('SELECT * FROM u')).toEqual([]);
  expect(await whole.server.query('SELECT gid FROM pg_prepared_xacts')).toEqual([{ gid: 'p' }]);
  const origins = await whole.server.query(
    "SELECT pg_replication_origin_progress('origin', true)::text AS lsn",
  );
  expect(origins).toEqual([{ lsn: '0/123' }]);
});

test('what speaks against a backup is said before its first byte', async () => {
  const { main } = world;
  const first = (options: BackupOptions): Promise<unknown> =>
    streamBackup(main, options, CONTEXT)[Symbol.asyncIterator]().next();
  const below = (main.timeline.initialLsn - 8) as Lsn;
  await expect(first({ ...FULL, lsn: below })).rejects.toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
  await expect(first({ ...FULL, lsn: main.timeline.initialLsn })).rejects.toMatchObject({
    code: 'NO_RECORD_BEFORE',
  });
  const { previousRecordLsn } = main.timeline;
  await expect(first({ ...FULL, previousRecordLsn: (previousRecordLsn - 8) as Lsn })).rejects.toMatchObject({
    code: 'WRONG_PREVIOUS_RECORD',
  });
  const { names } = await readArchive(streamBackup(main, { ...BASE, previousRecordLsn }, CONTEXT));
  expect(names).toContain('neon.signal');
});

test('an LSN between two records is the one before it', async () => {
  const { lastRecordLsn, walSegmentBytes } = world.main.timeline;
  const plain = await collectBytes(streamBackup(world.main, BASE, CONTEXT));
  const before = await world.main.reads.recordBefore((lastRecordLsn - 1) as Lsn, CONTEXT);
  const between = await collectBytes(
    streamBackup(world.main, { ...BASE, lsn: (lastRecordLsn - 1) as Lsn }, CONTEXT),
  );
  const exact = await collectBytes(streamBackup(world.main, { ...BASE, lsn: before!.endLsn }, CONTEXT));
  expect(Buffer.compare(between, exact)).toBe(0);
  expect(Buffer.compare(between, plain)).not.toBe(0);
  expect(lastRecordLsn % walSegmentBytes).not.toBe(0);
});

test('the LSN stays readable for as long as a backup of it is sent, and no longer', async () => {
  const { timeline, reads } = world.main;
  const record = (await reads.recordBefore((timeline.lastRecordLsn - 1) as Lsn, CONTEXT))!;
  const lsn = (record.endLsn + 1) as Lsn;
  const chunks = streamBackup(world.main, { ...FULL, lsn }, CONTEXT)[Symbol.asyncIterator]();
  expect(timeline.isRetained(lsn)).toBe(false);
  await chunks.next();
  expect(timeline.isRetained(lsn)).toBe(true);
  expect(timeline.isRetained(record.endLsn)).toBe(true);
  await chunks.return?.();
  expect(timeline.isRetained(lsn)).toBe(false);
  expect(timeline.isRetained(record.endLsn)).toBe(false);
});

test.each(['none', 'gzip', 'zstd'] as const)(
  'a backup ends when it is cancelled (%s)',
  async (compression) => {
    const ending = new AbortController();
    const context = { ...CONTEXT, signal: ending.signal };
    const chunks = streamBackup(world.main, { ...FULL, compression }, context)[Symbol.asyncIterator]();
    await chunks.next();
    ending.abort();
    await expect(
      (async () => {
        while (!(await chunks.next()).done);
      })(),
    ).rejects.toMatchObject({ kind: 'cancelled' });
    expect(world.main.timeline.retainedLsns()).toEqual([]);
  },
);

test('ten thousand auxiliary files take less than a second', { timeout: 120_000 }, async () => {
  const { timeline } = world.main;
  const content = new Uint8Array(500);
  for (let index = 0; index < 10_000; index++) {
    await timeline.putAuxiliaryFile(`pg_logical/snapshots/0-${index.toString(16)}.snap`, content);
  }
  // Of the processor, and the better of two: the machine may have others to serve.
  const seconds: number[] = [];
  for (let round = 0; round < 2; round++) {
    const before = process.cpuUsage();
    const chunks = await Array.fromAsync(streamBackup(world.main, BASE, CONTEXT));
    const { user, system } = process.cpuUsage(before);
    seconds.push((user + system) / 1e6);
    expect(chunks.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(10_000 * 1024);
    // They go out together.
    expect(chunks.length).toBeLessThan(1000);
  }
  expect(Math.min(...seconds)).toBeLessThan(1);
  const { names } = await readArchive(streamBackup(world.main, BASE, CONTEXT));
  expect(names.filter((name) => name.startsWith('pg_logical/snapshots/0-'))).toHaveLength(10_000);
});

test('PS-03: a timeline ends while a client does not read its backup', { timeout: 120_000 }, async () => {
  const chunks = (['none', 'gzip', 'zstd'] as const).map((compression) =>
    streamBackup(world.main, { ...FULL, compression }, CONTEXT)[Symbol.asyncIterator](),
  );
  for (const each of chunks) await each.next();
  const startedAt = performance.now();
  await world.storage.stop();
  expect(performance.now() - startedAt).toBeLessThan(2000);
  for (const each of chunks) {
    await expect(
      (async () => {
        while (!(await each.next()).done);
      })(),
    ).rejects.toMatchObject({ kind: 'cancelled', code: 'CLOSING' });
  }
});
