import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { parseLsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { formatKey } from '../../src/pageserver/keyspace/key.ts';
import { relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { goldenDelta, goldenLayerPath } from '../support/layer-samples.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN, StorageWorld } from '../support/storage-world.ts';
import { runVarve, runVarveJson } from '../support/varve-command.ts';

interface Row {
  readonly name: string;
  readonly kind: string;
  readonly level?: number;
  readonly keys: { readonly text: string; readonly start: string; readonly end: string };
  readonly lsnStart: string;
  readonly lsnEnd: string;
  readonly isLocal: boolean;
  readonly counts?: { readonly values: number; readonly keys: number };
  readonly problem?: string;
}

interface Value {
  readonly key: string;
  readonly keyText: string;
  readonly lsn: string;
  readonly kind: string;
  readonly flags: readonly string[];
  readonly lengthBytes: number;
  readonly record?: { readonly resourceManager: string; readonly kind: string };
  readonly meaning?: Record<string, unknown>;
}

interface StoredPage {
  readonly kind: string;
  readonly block: number;
  readonly readLsn: string;
  readonly header: Record<string, unknown>;
  readonly items: readonly { readonly line: number; readonly fields: Record<string, unknown> }[];
}

interface Diff {
  readonly isSame: boolean;
  readonly changes: readonly Value[];
  readonly differences: readonly { readonly region: string }[];
  readonly before: StoredPage | null;
  readonly after: StoredPage | null;
}

// Each test starts several processes.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const BRANCH = parseTimelineId('3'.repeat(32));
/** So small that layers are compacted, and images made. */
const SETTINGS = {
  openLayerBytes: 256 * 1024,
  targetBytes: 128 * 1024,
  compactionThreshold: 3,
  imageThreshold: 1,
};
const never = new AbortController().signal;

const directory = mkdtempSync(join(tmpdir(), 'varve-storage-commands-'));
let world: StorageWorld;
/** Options that name the timeline. */
let ids: string[];
let local: string;
let bucket: string[];
let timelineDirectory: string;
let relation: string;
let relationFile: string;
/** Right before an UPDATE and a DELETE of block 0, and right behind them. */
let lsnBefore: string;
let lsnAfter: string;
/** The timeline's layers. */
let rows: Row[];

const INSERT = (first: number, last: number): string =>
  `INSERT INTO rows_of SELECT i, 'name ' || i FROM generate_series(${first}, ${last}) i`;

async function runServer(server: StockPostgres): Promise<void> {
  await server.start();
  const client = await server.connect();
  const lsn = async (): Promise<string> =>
    (await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn')).rows[0]?.lsn ??
    '';
  await client.query('CREATE TABLE rows_of (id int, name text)');
  await client.query(INSERT(1, 100));
  lsnBefore = await lsn();
  await client.query(`UPDATE rows_of SET name = 'changed' WHERE id = 7`);
  await client.query('DELETE FROM rows_of WHERE id = 8');
  lsnAfter = await lsn();
  for (let part = 0; part < 5; part++) await client.query(INSERT(part * 4000 + 101, part * 4000 + 4100));
  const { rows } = await client.query<{ path: string }>(`SELECT pg_relation_filepath('rows_of') AS path`);
  const path = rows[0]?.path as string;
  relation = `1663/${path.split('/').slice(1).join('/')}`;
  await client.end();
  await server.stop('fast');
  relationFile = join(directory, basename(path));
  cpSync(join(server.dataDirectory, path), relationFile);
}

beforeAll(async () => {
  await using server = await StockPostgres.create({ major: 17, settings: { autovacuum: 'off' } });
  const initial = join(directory, 'initial');
  cpSync(server.dataDirectory, initial, { recursive: true });
  await runServer(server);
  world = await StorageWorld.open({ settings: SETTINGS });
  const tenant = await world.storage.attach(world.tenantId);
  const main = await tenant.createTimeline(MAIN, {
    files: nodeFiles,
    directory: initial,
    version: POSTGRES_17,
  });
  await feedWal(main, join(server.dataDirectory, 'pg_wal'));
  await main.timeline.flush();
  await main.upkeep.settled();
  await tenant.createBranch(BRANCH, MAIN, parseLsn(lsnAfter));
  await main.timeline.remote.waitForUploads(never);
  await world.stop();
  ids = ['--tenant', world.tenantId, '--timeline', MAIN];
  local = join(world.directory, 'local');
  bucket = ['--s3', `file://${world.directory}/bucket`];
  timelineDirectory = join(local, 'tenants', world.tenantId, MAIN);
  rows = await listRows(local, ...ids);
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

async function listRows(...args: string[]): Promise<Row[]> {
  const { code, values } = await runVarveJson<Row>('layer', 'list', ...args);
  expect(code).toBe(0);
  return values;
}

/** A copy of the timeline's directory, to be damaged. */
function copyTimeline(name: string): string {
  const path = join(directory, name);
  cpSync(timelineDirectory, path, { recursive: true });
  return path;
}

function flipByte(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] as number) ^ 0xff;
  writeFileSync(path, bytes);
}

/** All files below, with their sizes and times. */
function snapshot(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const { size, mtimeMs } = statSync(join(entry.parentPath, entry.name));
      return `${entry.parentPath}/${entry.name} ${size} ${mtimeMs}`;
    })
    .toSorted();
}

const show = (...args: string[]) => runVarveJson<StoredPage>('page', 'show', ...args);
const diff = (...args: string[]) => runVarveJson<Diff>('page', 'diff', ...args);

describe('layer list', () => {
  test('the files of a timeline are listed, by whichever directory they are named', async () => {
    expect(await listRows(timelineDirectory)).toEqual(rows);
    expect(rows.map(({ name }) => name).toSorted()).toEqual(readdirSync(timelineDirectory).toSorted());
    expect(new Set(rows.map(({ kind, level }) => `${kind} ${level}`))).toContain('delta 1');
    expect(rows[0]).toMatchObject({ kind: 'image', keys: { text: 'all keys' }, isLocal: true });
    for (const { counts } of rows) expect(counts?.values).toBeGreaterThanOrEqual(counts?.keys as number);
    const { out } = await runVarve('layer', 'list', timelineDirectory);
    expect(out.trimEnd().split('\n')).toHaveLength(rows.length + 2);
    expect(out).toContain(rows[0]?.keys.end);
  });

  test('the index in the bucket names the same layers, and headers are read from there if wanted', async () => {
    const remote = rows.map(({ counts: _, ...row }) => ({ ...row, isLocal: false }));
    expect(await listRows(...ids, ...bucket)).toEqual(remote);
    const withHeaders = rows.map((row) => ({ ...row, isLocal: false }));
    expect(await listRows(...ids, ...bucket, '--headers')).toEqual(withHeaders);
    expect(await listRows(local, ...ids, ...bucket)).toEqual(rows);
  });

  test('a damaged header is told of after the list', async () => {
    const copy = copyTimeline('damaged-header');
    const [first] = rows;
    flipByte(join(copy, first?.name as string), 100);
    const { code, values, error } = await runVarveJson<Row>('layer', 'list', copy);
    expect([code, error?.['code']]).toEqual([8, 'BAD_LAYER']);
    expect(values[0]?.problem).toContain('checksum');
    expect(values.slice(1).every(({ problem }) => problem === undefined)).toBe(true);
    expect((await runVarve('layer', 'list', copy)).out).toContain('DAMAGED');
  });

  test.each<[string, () => string[], number, string]>([
    ['a pageserver’s directory without ids', () => [local], 2, 'MISSING_ARGUMENT'],
    ['a bucket without ids', () => bucket, 2, 'MISSING_ARGUMENT'],
    ['no place', () => [], 2, 'MISSING_ARGUMENT'],
    ['no such directory', () => [join(directory, 'nowhere')], 3, 'FILE_NOT_FOUND'],
    ['no such bucket', () => [...ids, '--s3', `file://${directory}/nowhere`], 3, 'FILE_NOT_FOUND'],
    [
      'no such timeline',
      () => ['--tenant', world.tenantId, '--timeline', '9'.repeat(32), ...bucket],
      3,
      'TIMELINE_INDEX_NOT_FOUND',
    ],
  ])('%s', async (_, args, code, errorCode) => {
    const result = await runVarveJson('layer', 'list', ...args());
    expect([result.code, result.error?.['code']]).toEqual([code, errorCode]);
  });

  test('an empty directory has no layers, and its picture says so', async () => {
    const empty = join(directory, 'empty');
    mkdirSync(empty);
    expect(await runVarve('layer', 'list', empty)).toMatchObject({ code: 0, out: '0 layers, 0.0 KiB\n' });
    expect((await runVarve('layer', 'draw', empty)).out).toContain('There is no layer.');
  });
});

describe('layer dump', () => {
  const dump = async (...args: string[]): Promise<Value[]> => {
    const { code, values } = await runVarveJson<Value>('layer', 'dump', ...args);
    expect(code).toBe(0);
    return values.slice(1);
  };
  /** The delta layer with the most values. */
  const deltaRow = (): Row => {
    const deltas = rows.filter(({ kind }) => kind === 'delta');
    const valuesOf = ({ counts }: Row): number => counts?.values ?? 0;
    return deltas.reduce((most, row) => (valuesOf(row) > valuesOf(most) ? row : most));
  };
  const deltaPath = (): string => join(timelineDirectory, deltaRow().name);

  test('all values of a layer, in order', async () => {
    const values = await dump(deltaPath());
    expect(values).toHaveLength(deltaRow().counts?.values as number);
    const order = values.map(({ key, lsn }) => key + parseLsn(lsn).toString(16).padStart(16, '0'));
    expect(order).toEqual(order.toSorted());
    expect(values.filter(({ kind, record }) => kind === 'record' && record === undefined)).toEqual([]);
    const { out } = await runVarve('layer', 'dump', deltaPath());
    expect(out).toMatch(/\n {2}[\dA-F]+\/[\dA-F]+ +record +\d+ bytes Heap /);
  });

  test('the records of a page, of all layers that have its key', async () => {
    const [from, to] = [parseLsn(lsnBefore), parseLsn(lsnAfter)];
    const [tablespace = 0, database = 0, number = 0] = relation.split('/').map(Number);
    const key = formatKey(relationBlockKey({ tablespace, database, relation: number }, 0, 0));
    const names = new Set<string>();
    for (const { name, kind, keys, lsnStart, lsnEnd } of rows) {
      const isOfKey = keys.start <= key && key < keys.end;
      const isOfLsn = parseLsn(lsnStart) <= to && parseLsn(lsnEnd) > from;
      if (kind === 'image' || !isOfKey || !isOfLsn) continue;
      const path = join(timelineDirectory, name);
      for (const { lsn, record, keyText } of await dump(path, '--key', key, '--start', lsnBefore)) {
        expect(keyText).toBe(`${relation} block 0`);
        const isBetween = parseLsn(lsn) > from && parseLsn(lsn) <= to;
        if (isBetween) names.add(`${record?.resourceManager} ${record?.kind}`);
      }
    }
    expect([...names]).toEqual(['Heap HOT_UPDATE', 'Heap DELETE']);
  });

  test('values are chosen by relation, fork, key and LSN', async () => {
    const path = deltaPath();
    const all = await dump(path);
    const texts = new Set((await dump(path, '--relation', relation)).map(({ keyText }) => keyText));
    const expected = all.filter(({ keyText }) => new RegExp(`${relation}\\b`).test(keyText));
    expect(texts).toEqual(new Set(expected.map(({ keyText }) => keyText)));
    expect(await dump(path, '--relation', relation, '--fork', 'init')).toEqual([]);
    const middle = all[all.length >> 1] as Value;
    expect(await dump(path, '--key', middle.key)).toEqual(all.filter(({ key }) => key === middle.key));
    const upTo = await dump(path, '--end', middle.lsn);
    const from = await dump(path, '--start', middle.lsn);
    expect(upTo.length + from.length).toBe(all.length);
    expect(upTo.every(({ lsn }) => parseLsn(lsn) < parseLsn(middle.lsn))).toBe(true);
    expect(await dump(path, '--limit', '3')).toEqual(all.slice(0, 3));
  });

  test('values of every kind, also those that are no record of PostgreSQL', async () => {
    const values = await dump(goldenLayerPath('delta'));
    expect(values).toHaveLength(goldenDelta().length);
    expect(values.find(({ kind }) => kind === 'poison')?.meaning).toEqual({
      reason: 'this record could not be ingested',
    });
    const { out, code } = await runVarve('layer', 'dump', goldenLayerPath('delta'));
    expect(code).toBe(0);
    expect(out).toContain('POISON "this record could not be ingested"');
    expect(out).toContain('[needs-no-base] (cannot be decoded: ');
    expect(out).toContain('does not exist');
    const clears =
      '[{heapBlock 32769, bits [ALL_VISIBLE, ALL_FROZEN]}, {heapBlock 32770, bits [ALL_FROZEN]}]';
    expect(out).toMatch(/clears +10 bytes clears /);
    expect(out).toContain(clears);
    expect(values.find(({ kind }) => kind === 'clears')).toMatchObject({
      lengthBytes: 5,
      flags: ['needs-no-base'],
      meaning: { clears: [{ heapBlock: 32768, bits: ['ALL_VISIBLE', 'ALL_FROZEN'] }] },
    });
  });

  test('damage ends it with 8, after the values before it; verify names the place', async () => {
    const copy = copyTimeline('damaged-data');
    const path = join(copy, basename(deltaPath()));
    expect((await runVarve('layer', 'dump', path, '--verify')).out).toContain('verified');
    flipByte(path, statSync(path).size >> 1);
    const { code, values, error } = await runVarveJson<Value>('layer', 'dump', path);
    expect([code, error?.['code']]).toEqual([8, 'BAD_LAYER']);
    expect(values.length).toBeGreaterThan(1);
    const verified = await runVarveJson('layer', 'dump', path, '--verify');
    expect(verified).toMatchObject({ code: 8, values: [], error: { place: { file: path } } });
  });

  test('a layer under the name of another is found out', async () => {
    const copy = copyTimeline('renamed');
    const [first, second] = readdirSync(copy) as [string, string];
    cpSync(join(copy, first), join(copy, second));
    const { code, error } = await runVarveJson('layer', 'dump', join(copy, second), '--verify');
    expect([code, error?.['code']]).toEqual([8, 'WRONG_LAYER']);
  });

  test.each<[string, string[], number, string]>([
    ['no layer file', [relation], 3, 'FILE_NOT_FOUND'],
    ['a block of no relation', ['--block', '3'], 2, 'MISSING_ARGUMENT'],
    ['a key that is none', ['--key', 'abc'], 2, 'BAD_KEY'],
    ['the highest key', ['--key', 'F'.repeat(36)], 2, 'BAD_KEY'],
    ['a key and a relation', ['--key', '0'.repeat(36), '--relation', '1/2/3'], 2, 'CONFLICTING_OPTIONS'],
  ])('%s', async (_, args, code, errorCode) => {
    const path = errorCode === 'FILE_NOT_FOUND' ? [] : [goldenLayerPath('delta')];
    const result = await runVarveJson('layer', 'dump', ...path, ...args);
    expect([result.code, result.error?.['code']]).toEqual([code, errorCode]);
  });
});

test('layer draw: each layer is in the picture, which is written once', async () => {
  const path = join(directory, 'picture.svg');
  const drawn = await runVarveJson('layer', 'draw', timelineDirectory, '-o', path);
  expect(drawn).toMatchObject({ code: 0, values: [{ layers: rows.length, file: path }] });
  const svg = readFileSync(path, 'utf8');
  for (const { name } of rows) expect(svg.split(name)).toHaveLength(2);
  expect((await runVarve('layer', 'draw', timelineDirectory)).out).toBe(svg);
  expect((await runVarve('layer', 'draw', timelineDirectory, '-o', path)).code).toBe(4);
  const ofIndex = (await runVarve('layer', 'draw', ...ids, ...bucket)).out;
  expect(ofIndex).toContain(`Layers of timeline ${MAIN}`);
  expect(ofIndex).toContain('garbage is collected below');
});

describe('page show of a timeline', () => {
  const page = (block: number): string[] => ['--relation', relation, '--block', String(block)];

  test('pages are what the server has left in its file', async () => {
    const { values: expected } = await runVarveJson<StoredPage>('page', 'show', relationFile);
    expect(expected.length).toBeGreaterThan(100);
    for (const block of [0, 1, expected.length - 1]) {
      const { code, values } = await show('--dir', timelineDirectory, ...page(block));
      expect(code).toBe(0);
      const [stored] = values as [StoredPage];
      expect(stored).toMatchObject({ kind: 'heap', block, readLsn: expect.stringMatching('/') });
      // Hint bits are not in WAL.
      const tuples = ({ items }: StoredPage) =>
        items.map(({ line, fields }) => [
          line,
          fields['xmin'],
          fields['xmax'],
          fields['ctid'],
          fields['data'],
        ]);
      expect(tuples(stored)).toEqual(tuples(expected[block] as StoredPage));
      expect(stored.header['lsn']).toBe(expected[block]?.header['lsn']);
    }
  });

  test('the bucket gives the same as the local files', async () => {
    const args = [...page(0), '--lsn', lsnAfter];
    const here = await show('--dir', timelineDirectory, ...args);
    expect(here.values).toHaveLength(1);
    expect(await show(...ids, ...bucket, ...args)).toEqual(here);
    expect(await show('--dir', local, ...ids, ...bucket, ...args)).toEqual(here);
  });

  test('a branch is read with what it has of its ancestor', async () => {
    const branch = ['--tenant', world.tenantId, '--timeline', BRANCH, ...bucket];
    const of = await show(...ids, ...bucket, ...page(0), '--lsn', lsnAfter);
    const onBranch = await show(...branch, ...page(0));
    expect(onBranch.values[0]?.items).toEqual(of.values[0]?.items);
    expect((await show(...branch, ...page(0), '--lsn', lsnBefore)).code).toBe(5);
    expect((await show(...branch, ...page(5))).error?.['code']).toBe('NO_SUCH_BLOCK');
  });

  test('a page of clog in words', async () => {
    const { code, out } = await runVarve(
      'page',
      'show',
      '--dir',
      timelineDirectory,
      '--slru',
      'clog',
      '--page',
      '0',
    );
    expect(code).toBe(0);
    expect(out).toMatch(/^clog page 0, at .*\n {2}xid 3, count \d+, status committed\n/);
  });

  test.each<[string, () => string[], number, string]>([
    ['an unknown relation', () => ['--relation', '1663/5/4711', '--block', '0'], 3, 'NO_SUCH_RELATION'],
    ['a fork that is not there', () => [...page(0), '--fork', 'init'], 3, 'NO_SUCH_RELATION'],
    ['a block beyond the end', () => page(100_000), 3, 'NO_SUCH_BLOCK'],
    ['an SLRU page beyond the end', () => ['--slru', 'clog', '--page', '4000000000'], 3, 'NO_SUCH_PAGE'],
    ['an LSN below the beginning', () => [...page(0), '--lsn', '0/1000'], 5, 'LSN_BELOW_CUTOFF'],
    ['an LSN above the end', () => [...page(0), '--lsn', 'FF/0'], 6, 'LSN_NOT_REACHED'],
    ['no block', () => ['--relation', '1663/5/4711'], 2, 'MISSING_ARGUMENT'],
    ['two pages', () => [...page(0), '--slru', 'clog', '--page', '0'], 2, 'MISSING_ARGUMENT'],
    ['a file, too', () => [relationFile, ...page(0)], 2, 'CONFLICTING_OPTIONS'],
    ['a checksum', () => [...page(0), '--checksum'], 2, 'CONFLICTING_OPTIONS'],
  ])('%s', async (_, args, code, errorCode) => {
    const result = await show('--dir', timelineDirectory, ...args());
    expect([result.code, result.error?.['code']]).toEqual([code, errorCode]);
  });

  test('neither a file nor a timeline, or a page without its place', async () => {
    expect((await show()).error?.['code']).toBe('MISSING_ARGUMENT');
    expect((await show(relationFile, ...page(0))).error?.['code']).toBe('MISSING_ARGUMENT');
    expect((await show('--dir', join(directory, 'initial'), ...page(0))).error?.['code']).toBe('NO_LAYERS');
  });

  test('a damaged layer ends it with 8 and its name', async () => {
    const copy = copyTimeline('damaged-all');
    for (const name of readdirSync(copy)) {
      const path = join(copy, name);
      writeFileSync(path, readFileSync(path).fill(0xaa, 4096));
    }
    const { code, error } = await show('--dir', copy, ...page(0));
    expect([code, error?.['code']]).toEqual([8, 'BAD_LAYER']);
    expect(error?.['place']).toMatchObject({ file: expect.stringContaining(copy) });
  });
});

describe('page diff of a timeline', () => {
  const page = (): string[] => ['--dir', timelineDirectory, '--relation', relation];

  test('what happened to a page between two LSNs', async () => {
    const { code, values } = await diff(...page(), '--block', '0', '--from', lsnBefore, '--to', lsnAfter);
    expect(code).toBe(1);
    const [{ isSame, changes, differences, before, after }] = values as [Diff];
    expect(isSame).toBe(false);
    expect(changes.map(({ record }) => record?.kind)).toEqual(['HOT_UPDATE', 'DELETE']);
    const lsns = changes.map(({ lsn }) => parseLsn(lsn));
    expect(lsns).toEqual(lsns.toSorted((left, right) => left - right));
    expect(differences.map(({ region }) => region)).toContain('item 8');
    expect(after?.items).toHaveLength((before?.items.length as number) + 1);
    expect(after?.items[7]?.fields['xmax']).not.toBe(before?.items[7]?.fields['xmax']);

    const args = ['--block', '0', '--from', lsnBefore, '--to', lsnAfter];
    const { out } = await runVarve('page', 'diff', ...page(), ...args);
    expect(out).toMatch(/record .* Heap DELETE xmax \d+/);
    expect(out).toMatch(/\n {2}- +8 normal .*\n {2}\+ +8 normal /);
    expect(out).not.toMatch(/\n {2}[-+] +9 normal/);
  });

  test('the bucket tells the same, and so does a mask', async () => {
    const args = ['--relation', relation, '--block', '0', '--from', lsnBefore, '--to', lsnAfter];
    expect(await diff(...ids, ...bucket, ...args)).toEqual(await diff('--dir', timelineDirectory, ...args));
    const masked = await diff('--dir', timelineDirectory, ...args, '--mask', 'heap');
    expect(masked.values[0]?.differences.map(({ region }) => region)).not.toContain('header: lsn');
  });

  test('nothing happened', async () => {
    const { code, values } = await diff(...page(), '--block', '0', '--from', lsnAfter, '--to', lsnAfter);
    expect(code).toBe(0);
    expect(values[0]).toMatchObject({ isSame: true, changes: [], differences: [] });
  });

  test('a page that came in between', async () => {
    const { code, values } = await diff(...page(), '--block', '9', '--from', lsnBefore);
    expect(code).toBe(1);
    expect(values[0]).toMatchObject({ before: null, after: { block: 9 } });
    expect(values[0]?.changes.length).toBeGreaterThan(100);
    const { out } = await runVarve('page', 'diff', ...page(), '--block', '9', '--from', lsnBefore);
    expect(out).toContain(`it did not exist at ${lsnBefore}`);
  });

  test('transactions that ended in between, in clog', async () => {
    const clog = ['--dir', timelineDirectory, '--slru', 'clog', '--page', '0'];
    const { code, out } = await runVarve('page', 'diff', ...clog, '--from', lsnBefore, '--to', lsnAfter);
    expect(code).toBe(1);
    expect(out.match(/Transaction COMMIT /g)).toHaveLength(2);
    expect(out).toMatch(
      /\n {2}- xid 3, count \d+, status committed\n {2}\+ xid 3, count \d+, status committed\n/,
    );
  });

  test.each<[string, () => string[], number, string]>([
    ['no first LSN', () => ['--block', '0'], 2, 'MISSING_ARGUMENT'],
    [
      'LSNs the wrong way round',
      () => ['--block', '0', '--from', lsnAfter, '--to', lsnBefore],
      2,
      'BAD_LSN_RANGE',
    ],
    ['a page that never was', () => ['--block', '99999', '--from', lsnBefore], 3, 'NO_SUCH_BLOCK'],
    [
      'an LSN above the end',
      () => ['--block', '0', '--from', lsnBefore, '--to', 'FF/0'],
      6,
      'LSN_NOT_REACHED',
    ],
  ])('%s', async (_, args, code, errorCode) => {
    const result = await diff(...page(), ...args());
    expect([result.code, result.error?.['code']]).toEqual([code, errorCode]);
  });
});

test('nothing is written by looking', async () => {
  const before = snapshot(world.directory);
  const at = ['--relation', relation, '--block', '0'];
  for (const args of [
    ['layer', 'list', local, ...ids, ...bucket, '--headers'],
    ['layer', 'draw', local, ...ids, ...bucket],
    ['page', 'show', '--dir', local, ...ids, ...bucket, ...at],
    ['page', 'show', ...ids, ...bucket, ...at],
    ['page', 'diff', '--dir', local, ...ids, ...bucket, ...at, '--from', lsnAfter, '--to', lsnAfter],
  ]) {
    expect((await runVarve(...args)).code).toBe(0);
  }
  expect(snapshot(world.directory)).toEqual(before);
});
