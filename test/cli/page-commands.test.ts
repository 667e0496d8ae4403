import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { writePageChecksum } from '../../src/postgres/page/checksum.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { runVarve, runVarveJson } from '../support/varve-command.ts';

interface Item {
  readonly line: number;
  readonly state: string;
  readonly offset: number;
  readonly length: number;
  readonly fields?: Record<string, unknown>;
  readonly problem?: string;
}

interface PageObject {
  readonly block: number;
  readonly fileBlock: number;
  readonly fork: string;
  readonly kind: string;
  readonly header: Record<string, unknown>;
  readonly checksum?: { readonly state: string };
  readonly special?: Record<string, unknown>;
  readonly contents?: Record<string, unknown>;
  readonly items?: readonly Item[];
  readonly problem?: string;
}

// Each test starts several processes.
vi.setConfig({ testTimeout: 60_000 });

const directory = mkdtempSync(join(tmpdir(), 'varve-page-commands-'));
const paths: Record<string, string> = {};
/** What pageinspect and pg_visibility say of the same pages. */
const inspected: Record<string, Record<string, unknown>[]> = {};

const STATEMENTS = [
  `CREATE TABLE rows_of (id int, name text, place point, tags int[])`,
  `INSERT INTO rows_of SELECT i, nullif('name ' || i, 'name 3'), point(i, -i), ARRAY[1, i % 11]
     FROM generate_series(1, 3000) i`,
  'CREATE INDEX of_btree ON rows_of (name)',
  'CREATE INDEX of_few ON rows_of ((id % 3))',
  'CREATE INDEX of_hash ON rows_of USING hash (id)',
  'CREATE INDEX of_gist ON rows_of USING gist (place)',
  'CREATE INDEX of_spgist ON rows_of USING spgist (name)',
  'CREATE INDEX of_gin ON rows_of USING gin (tags)',
  'CREATE INDEX of_brin ON rows_of USING brin (id)',
  'CREATE SEQUENCE of_sequence START 41',
  `SELECT nextval('of_sequence')`,
  'DELETE FROM rows_of WHERE id <= 5',
  'VACUUM (FREEZE) rows_of',
  `UPDATE rows_of SET name = 'changed' WHERE id = 7`,
  'CHECKPOINT',
];

const INSPECTIONS: Readonly<Record<string, string>> = {
  heap: `SELECT lp, lp_off, lp_flags, lp_len, t_xmin::text, t_xmax::text, t_ctid::text, t_hoff,
           encode(t_data, 'hex') AS data FROM heap_page_items(get_raw_page('rows_of', 0))`,
  header: `SELECT lsn::text, lower, upper, special, pagesize, version, prune_xid::text
             FROM page_header(get_raw_page('rows_of', 0))`,
  btree: `SELECT itemoffset, itemlen, htid::text FROM bt_page_items('of_btree', 1)`,
  posting: `SELECT itemoffset, tids::text[] AS tids FROM bt_page_items('of_few', 1)`,
  metap: `SELECT root, level, fastroot, fastlevel FROM bt_metap('of_btree')`,
  hash: `SELECT itemoffset, ctid::text, data::text FROM hash_page_items(get_raw_page('of_hash', 1))`,
  gin: `SELECT first_tid::text, nbytes, tids::text[] AS tids FROM gin_leafpage_items(get_raw_page('of_gin', 2))`,
  brin: `SELECT pages::text FROM brin_revmap_data(get_raw_page('of_brin', 1)) WHERE pages <> '(0,0)'`,
  visible: `SELECT blkno::int, all_visible, all_frozen FROM pg_visibility_map('rows_of')`,
};

beforeAll(async () => {
  await using server = await StockPostgres.create({
    major: 17,
    initdbArguments: ['--data-checksums'],
    settings: { autovacuum: 'off' },
  });
  await server.start();
  const client = await server.connect();
  await client.query('CREATE EXTENSION pageinspect; CREATE EXTENSION pg_visibility');
  for (const statement of STATEMENTS) await client.query(statement);
  for (const [name, sql] of Object.entries(INSPECTIONS)) inspected[name] = (await client.query(sql)).rows;
  const { rows } = await client.query<{ name: string; path: string }>(
    `SELECT relname AS name, pg_relation_filepath(oid) AS path FROM pg_class WHERE relname ~ '^(rows_of|of_)'`,
  );
  await client.end();
  await server.stop('immediate');
  for (const { name, path } of rows) {
    for (const suffix of name === 'rows_of' ? ['', '_vm', '_fsm'] : ['']) {
      paths[name + suffix] = join(directory, basename(path) + suffix);
      cpSync(join(server.dataDirectory, path + suffix), paths[name + suffix] as string);
    }
  }
});

afterAll(() => rmSync(directory, { recursive: true }));

async function show(name: string, ...options: string[]): Promise<PageObject[]> {
  const { code, values } = await runVarveJson<PageObject>('page', 'show', paths[name] as string, ...options);
  expect(code).toBe(0);
  return values;
}

const showOne = async (name: string, block: number): Promise<PageObject> =>
  (await show(name, '--block', String(block)))[0] as PageObject;

describe('page show', () => {
  test('a heap page is what pageinspect says', async () => {
    const page = await showOne('rows_of', 0);
    expect(page).toMatchObject({ kind: 'heap', fork: 'main', block: 0 });
    const states = ['unused', 'normal', 'redirect', 'dead'];
    expect(
      page.items?.map(({ line, state, offset, length, fields }) => ({
        lp: line,
        lp_off: offset,
        lp_flags: states.indexOf(state),
        lp_len: length,
        t_xmin: fields === undefined ? null : String(fields['xmin']),
        t_xmax: fields === undefined ? null : String(fields['xmax']),
        t_ctid: fields?.['ctid'] ?? null,
        t_hoff: fields?.['hoff'] ?? null,
        data: fields?.['data'] ?? null,
      })),
    ).toEqual(inspected['heap']);
    const { lsn, lower, upper, special, pageSize, layoutVersion, pruneXid } = page.header;
    expect([
      { lsn, lower, upper, special, pagesize: pageSize, version: layoutVersion, prune_xid: String(pruneXid) },
    ]).toEqual(inspected['header']);
  });

  test('btree pages', async () => {
    const leaf = await showOne('of_btree', 1);
    expect(leaf).toMatchObject({ kind: 'btree', special: { flags: ['LEAF'], level: 0 } });
    // A high key of a leaf has no heap TID.
    const items = leaf.items?.map(({ line, length, fields }) => ({
      itemoffset: line,
      itemlen: length,
      htid: fields?.['tid'] ?? fields?.['heapTid'] ?? null,
    }));
    expect(items).toEqual(inspected['btree']);
    expect(leaf.items?.[0]?.fields).toMatchObject({ isHighKey: true, attributes: 1 });
    const [meta] = inspected['metap'] as Record<string, unknown>[];
    expect((await showOne('of_btree', 0)).contents).toMatchObject({
      root: Number(meta?.['root']),
      level: Number(meta?.['level']),
      fastRoot: Number(meta?.['fastroot']),
    });
    const posting = await showOne('of_few', 1);
    expect(
      posting.items?.map(({ line, fields }) => ({ itemoffset: line, tids: fields?.['tids'] ?? null })),
    ).toEqual(inspected['posting']);
  });

  test('hash pages', async () => {
    const bucket = await showOne('of_hash', 1);
    expect(bucket).toMatchObject({
      kind: 'hash',
      special: { flags: expect.arrayContaining(['BUCKET_PAGE']) },
    });
    expect(
      bucket.items?.map(({ line, fields }) => ({
        itemoffset: line,
        ctid: fields?.['tid'],
        data: String(fields?.['hash']),
      })),
    ).toEqual(inspected['hash']);
    expect((await showOne('of_hash', 0)).contents).toMatchObject({
      magic: 0x6440640,
      tuples: 2996,
      version: 4,
    });
  });

  test('gin pages', async () => {
    const leaf = await showOne('of_gin', 2);
    expect(leaf).toMatchObject({ kind: 'gin', special: { flags: ['DATA', 'LEAF', 'COMPRESSED'] } });
    const segments = inspected['gin']?.map((row) => row['tids']);
    expect(leaf.contents?.['segments']).toEqual(segments);
    const entries = await showOne('of_gin', 1);
    expect(
      entries.items?.filter(
        ({ fields }) => Number(fields?.['postingTree']) > 0 || Array.isArray(fields?.['tids']),
      ),
    ).toHaveLength(11);
    expect((await showOne('of_gin', 0)).contents).toMatchObject({ version: 2, entries: '11' });
  });

  test('gist, spgist, brin and sequence pages', async () => {
    const gist = await show('of_gist');
    expect(gist.every(({ kind }) => kind === 'gist')).toBe(true);
    const leafTids = gist
      .filter(({ special }) => String(special?.['flags']).split(',').includes('LEAF'))
      .flatMap(({ items }) => items?.map(({ fields }) => fields?.['tid']) ?? []);
    expect(new Set(leafTids).size).toBe(2996);
    const spgist = await show('of_spgist');
    expect(spgist.every(({ kind }) => kind === 'spgist' || kind === 'new')).toBe(true);
    const lives = spgist
      .flatMap(({ items }) => items ?? [])
      .filter(({ fields }) => fields?.['tupleState'] === 'live' && fields['tid'] !== undefined);
    expect(lives).toHaveLength(2996);
    const brin = await show('of_brin');
    expect(brin.map(({ kind, special }) => [kind, special?.['type']])).toEqual([
      ['brin', 'meta'],
      ['brin', 'revmap'],
      ['brin', 'regular'],
    ]);
    expect(Object.values(brin[1]?.contents?.['tidsByRange'] as object)).toEqual(
      inspected['brin']?.map((row) => row['pages']),
    );
    const sequence = await showOne('of_sequence', 0);
    expect(sequence).toMatchObject({
      kind: 'sequence',
      items: [{ fields: { lastValue: '41', isCalled: true } }],
    });
    expect(
      [...gist, ...spgist, ...brin].flatMap(({ items }) => items ?? []).filter(({ problem }) => problem),
    ).toEqual([]);
  });

  test('the maps are known by the names of their files', async () => {
    const map = await showOne('rows_of_vm', 0);
    expect(map).toMatchObject({ kind: 'visibility map', fork: 'vm' });
    for (const [ours, theirs] of [
      ['allVisible', 'all_visible'],
      ['allFrozen', 'all_frozen'],
    ] as const) {
      const ranges = map.contents?.[ours] as string[];
      const blocks = ranges.flatMap((range) => {
        const [from, to = from] = range.split('-').map(Number) as [number, number?];
        return Array.from({ length: to - from + 1 }, (_, index) => from + index);
      });
      expect(blocks).toEqual(inspected['visible']?.filter((row) => row[theirs]).map((row) => row['blkno']));
      expect(blocks.length).toBeGreaterThan(0);
    }
    expect(await show('rows_of_fsm')).toMatchObject([
      { kind: 'free space map', contents: { level: 'upper' } },
      { contents: { level: 'upper' } },
      { contents: { level: 'lowest' } },
    ]);
  });

  test('checksums are right, or the file, offset and block of the wrong one are named', async () => {
    const pages = await show('rows_of', '--checksum');
    expect(pages.length).toBeGreaterThan(10);
    expect(new Set(pages.map(({ checksum }) => checksum?.state))).toEqual(new Set(['right']));
    const bytes = readFileSync(paths['rows_of'] as string);
    const damaged = join(directory, 'damaged');
    bytes[8192 * 3 + 8000] = (bytes[8192 * 3 + 8000] as number) ^ 1;
    bytes.fill(0, 8192 * 5, 8192 * 5 + 512);
    writeFileSync(damaged, bytes);
    const { code, values, error } = await runVarveJson<PageObject>('page', 'show', damaged, '--checksum');
    expect(code).toBe(8);
    const bad = values
      .filter(({ checksum }) => checksum?.state !== 'right')
      .map(({ block, checksum }) => [block, checksum?.state]);
    expect(bad).toEqual([
      [3, 'wrong'],
      [5, 'torn'],
    ]);
    expect(error).toMatchObject({ code: 'BAD_CHECKSUM', place: { file: damaged, offset: 8192 * 3 } });
  });

  test('blocks are numbered in their fork, which the checksum needs', async () => {
    const bytes = readFileSync(paths['rows_of'] as string);
    const second = new Page(Uint8Array.from(bytes.subarray(8192, 8192 * 2)));
    writePageChecksum(second, 131_072);
    const segment = join(directory, '99999.1');
    writeFileSync(segment, second.bytes);
    const { code, values } = await runVarveJson<PageObject>('page', 'show', segment, '--checksum');
    expect({ code, values }).toMatchObject({
      code: 0,
      values: [{ block: 131_072, fileBlock: 0, checksum: { state: 'right' } }],
    });
    const plain = join(directory, 'plain');
    writeFileSync(plain, second.bytes);
    expect((await runVarve('page', 'show', plain, '--checksum')).code).toBe(8);
    expect((await runVarve('page', 'show', plain, '--checksum', '--first-block', '131072')).code).toBe(0);
  });

  test('text has a line for each item', async () => {
    const { code, out } = await runVarve('page', 'show', paths['rows_of'] as string, '--block', '0');
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toBe('block 0, main fork: heap');
    expect(lines).toHaveLength(2 + (inspected['heap'] ?? []).length);
    expect(lines).toContain('     2 unused');
    expect(lines[2]).toMatch(
      /^ {5}1 normal at \d+, 85 bytes: xmin \d+, xmax 0, cid 0, ctid \(0,1\), attributes 4, infomask \[HASVARWIDTH, /,
    );
  });

  test('what is not there is named', async () => {
    const path = paths['rows_of'] as string;
    expect(await runVarveJson('page', 'show', path, '--block', '9999')).toMatchObject({
      code: 3,
      error: { code: 'NO_SUCH_BLOCK', place: { file: path } },
    });
    expect(await runVarveJson('page', 'show', join(directory, 'nowhere'))).toMatchObject({ code: 3 });
    expect(await runVarveJson('page', 'show', directory)).toMatchObject({
      code: 2,
      error: { code: 'IS_A_DIRECTORY' },
    });
    const cut = join(directory, 'cut');
    cpSync(path, cut);
    truncateSync(cut, 8192 * 2 + 100);
    expect(await runVarveJson('page', 'show', cut)).toMatchObject({
      code: 8,
      error: { code: 'BAD_PAGE_FILE', place: { file: cut, offset: 8192 * 2 } },
    });
  });
});

describe('page diff', () => {
  test('equal files', async () => {
    const path = paths['rows_of'] as string;
    const { code, out } = await runVarve('page', 'diff', path, path);
    expect(code).toBe(0);
    expect(out).toMatch(/^\d+ blocks compared, 0 differ\n$/);
  });

  test('names the places that differ; a mask hides hint bits, not data', async () => {
    const path = paths['rows_of'] as string;
    const bytes = readFileSync(path);
    const page = await showOne('rows_of', 1);
    const item = page.items?.find(({ state }) => state === 'normal') as Item;
    const at = 8192 + item.offset;
    // HEAP_XMAX_COMMITTED, a hint.
    bytes[at + 21] = (bytes[at + 21] as number) ^ 0x04;
    const hinted = join(directory, 'hinted');
    writeFileSync(hinted, bytes);
    const raw = await runVarveJson<{ block?: number; differences?: object[] }>('page', 'diff', path, hinted);
    expect(raw.code).toBe(1);
    expect(raw.values[0]).toMatchObject({
      block: 1,
      differences: [{ region: `item ${item.line}`, offset: item.offset + 21, differing: 1 }],
    });
    expect((await runVarve('page', 'diff', path, hinted, '--mask', 'heap')).code).toBe(0);
    bytes[at + item.length - 1] = (bytes[at + item.length - 1] as number) ^ 0xff;
    writeFileSync(hinted, bytes);
    const masked = await runVarve('page', 'diff', path, hinted, '--mask', 'heap', '--block', '1');
    expect(masked.code).toBe(1);
    expect(masked.out).toMatch(/^block 1: 1 byte differs\n +\d+ item \d+: .*\n1 block compared, 1 differ\n$/);
    expect((await runVarve('page', 'diff', path, hinted, '--block', '0')).code).toBe(0);
  });

  test('one file is longer', async () => {
    const path = paths['rows_of'] as string;
    const shorter = join(directory, 'shorter');
    writeFileSync(shorter, readFileSync(path).subarray(0, 8192));
    const { code, values } = await runVarveJson('page', 'diff', shorter, path);
    expect(code).toBe(1);
    expect(values).toEqual([{ blocks: 1, differing: 0, leftBlocks: 1, rightBlocks: expect.any(Number) }]);
  });

  test('an unknown mask is an error of usage, a page that no mask fits is damaged', async () => {
    const path = paths['rows_of'] as string;
    expect((await runVarve('page', 'diff', path, path, '--mask', 'toString')).code).toBe(2);
    const broken = join(directory, 'broken');
    const bytes = readFileSync(path);
    bytes.fill(0xff, 10, 20);
    writeFileSync(broken, bytes);
    expect(await runVarveJson('page', 'diff', path, broken, '--mask', 'heap')).toMatchObject({
      code: 8,
      error: { code: 'BAD_PAGE' },
    });
  });
});
