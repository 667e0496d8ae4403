import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CorruptionError, VarveError } from '../base/errors.ts';
import { toLsn } from '../base/lsn.ts';
import type { StartSetHeader } from '../contracts/start-set.ts';
import { StartSetEncoder } from '../contracts/start-set-encoder.ts';
import { nodeFiles } from '../io/node/files.ts';
import { DataDirectory, readForks } from './data-directory.ts';

const HEADER: StartSetHeader = {
  form: 'primary',
  postgresMajor: 17,
  catalogVersion: 202406281,
  systemIdentifier: 7n,
  walSegmentBytes: 16 * 1024 * 1024,
  hasDataChecksums: false,
  recordEndLsn: toLsn(0x2000),
  previousRecordLsn: toLsn(0x1f80),
  nextRecordLsn: toLsn(0x2018),
  walNeededFrom: undefined,
};
const FORKS = [1259, 1260].map((relation) => ({
  relation: { tablespace: 1663, database: 5, relation },
  fork: 0,
  contentFork: 0,
  blocks: 3,
}));

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-data-directory-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** What a server starts from, and what comes behind it. */
function encode(): { files: Uint8Array; list: Uint8Array } {
  const encoder = new StartSetEncoder();
  encoder.header(HEADER);
  encoder.directories(['base', 'base/5', 'global', 'pg_xact']);
  encoder.slruSegment({ path: 'pg_xact/0000', sizeBytes: 8192, slru: 'clog', segment: 0 });
  encoder.file({ path: 'base/5/PG_VERSION', sizeBytes: 3 });
  expect([...encoder.piece(0, new TextEncoder().encode('17\n'))]).toEqual([]);
  encoder.file({ path: 'global/pg_control', sizeBytes: 8192 });
  encoder.ready();
  const files = encoder.take();
  expect([...encoder.forks(FORKS)]).toEqual([]);
  encoder.end();
  return { files, list: encoder.take() };
}

test('a server can be started on it before the list of its files has come', async () => {
  const { files, list } = encode();
  const cluster = new DataDirectory(nodeFiles, join(directory, 'data'));
  const ready = Promise.withResolvers<void>();
  const listed = Promise.withResolvers<void>();
  async function* startSet(): AsyncGenerator<Uint8Array> {
    yield files;
    await listed.promise;
    yield list;
  }
  const whole = cluster.layOut(startSet(), ready.resolve);
  await ready.promise;
  expect(cluster.header).toEqual(HEADER);
  expect(cluster.segments.map(({ path }) => path)).toEqual(['pg_xact/0000']);
  expect(await readFile(join(directory, 'data/base/5/PG_VERSION'), 'utf8')).toBe('17\n');
  expect((await readFile(join(directory, 'data/pg_xact/0000'))).length).toBe(8192);
  listed.resolve();
  expect((await whole).forks).toEqual(FORKS);
});

test('a list that breaks off fails, after the rest was ready, and can be read alone', async () => {
  const { files, list } = encode();
  const cluster = new DataDirectory(nodeFiles, join(directory, 'data'));
  let wasReady = false;
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield files;
    throw new VarveError('unavailable', 'CONNECTION_LOST', 'the other side is gone');
  }
  const whole = cluster.layOut(broken(), () => {
    wasReady = true;
  });
  await expect(whole).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  expect(wasReady).toBe(true);
  async function* again(): AsyncGenerator<Uint8Array> {
    yield files;
    yield list;
  }
  expect(await readForks(again())).toEqual(FORKS);
  async function* cutOff(): AsyncGenerator<Uint8Array> {
    yield files;
  }
  await expect(readForks(cutOff())).rejects.toThrow(CorruptionError);
});
