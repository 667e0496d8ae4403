import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { formatLsn, parseLsn } from '../../src/base/lsn.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { formatSegmentName, parseSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { runVarve, runVarveJson, startVarve } from '../support/varve-command.ts';

const SEGMENT_BYTES = 1024 * 1024;
const PAGE_BYTES = 8192;

interface RecordObject {
  readonly lsn: string;
  readonly endLsn: string;
  readonly previousLsn: string;
  readonly xid: number;
  readonly resourceManager: string;
  readonly kind: string;
  readonly totalBytes: number;
  readonly imageBytes: number;
  readonly blocks: readonly { readonly relation: number; readonly block: number; readonly fork: string }[];
  readonly body: Record<string, unknown>;
}

interface Report {
  readonly records: number;
  readonly firstLsn?: string;
  readonly lastLsn?: string;
  readonly endLsn?: string;
  readonly undecodable: number;
  readonly files: number;
  readonly abandonedFiles: number;
  readonly end: {
    readonly kind: string;
    readonly lsn: string;
    readonly reason: string;
    readonly file: string;
    readonly offset: number;
  };
}

// Each test starts several processes.
vi.setConfig({ testTimeout: 60_000 });

const directory = mkdtempSync(join(tmpdir(), 'varve-wal-commands-'));
const wal = join(directory, 'pg_wal');
/** What pg_walinspect says of the same records. */
let inspected: Record<string, string>[] = [];
let relation = '';
let subtransaction = 0;
let transaction = 0;
let prepared = 0;
let segments: string[] = [];
/** Where the first segment begins. */
let firstLsn = 0;

beforeAll(async () => {
  await using server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: {
      autovacuum: 'off',
      max_prepared_transactions: 5,
      wal_keep_size: '1GB',
      wal_compression: 'pglz',
    },
  });
  await server.start();
  const client = await server.connect();
  const value = async (sql: string): Promise<string> =>
    String(Object.values((await client.query<Record<string, string>>(sql)).rows[0] ?? {})[0]);
  await client.query('CREATE EXTENSION pg_walinspect');
  await client.query('CREATE TABLE watched (id int PRIMARY KEY, name text)');
  relation = await value(
    `SELECT '1663/' || d.oid || '/' || pg_relation_filenode('watched') FROM pg_database d WHERE datname = 'postgres'`,
  );
  await client.query('BEGIN');
  await client.query(`INSERT INTO watched VALUES (1, 'one')`);
  transaction = Number(await value('SELECT pg_current_xact_id()'));
  await client.query('SAVEPOINT inner_one');
  await client.query(`INSERT INTO watched VALUES (2, E'two\\n\\033[31m')`);
  subtransaction = Number(await value(`SELECT xmin FROM watched WHERE id = 2`));
  await client.query('COMMIT');
  await client.query('BEGIN');
  await client.query(`INSERT INTO watched VALUES (3, 'three')`);
  prepared = Number(await value('SELECT pg_current_xact_id()'));
  await client.query(`PREPARE TRANSACTION 'a gid'`);
  await client.query(`COMMIT PREPARED 'a gid'`);
  await client.query('VACUUM watched');
  await client.query('CHECKPOINT');
  await client.query(`UPDATE watched SET name = 'changed' WHERE id = 1`);
  await client.query(
    `INSERT INTO watched SELECT i, repeat('many ', 20) || i FROM generate_series(10, 8000) i`,
  );
  await client.query('CREATE INDEX watched_name ON watched USING hash (name)');
  await client.query('SELECT pg_switch_wal()');
  await client.query(`INSERT INTO watched VALUES (9001, 'after the switch')`);
  await client.query('DROP TABLE watched');
  const columns =
    'start_lsn, end_lsn, prev_lsn, xid, resource_manager, record_type, record_length, fpi_length';
  const oldest = await value(`SELECT min(name) FROM pg_ls_waldir() WHERE length(name) = 24`);
  firstLsn = parseSegmentName(oldest, SEGMENT_BYTES).segment * SEGMENT_BYTES;
  const end = await value('SELECT pg_current_wal_flush_lsn()');
  inspected = (
    await client.query<Record<string, string>>(
      `SELECT ${columns} FROM pg_get_wal_records_info($1::pg_lsn, $2::pg_lsn)`,
      [formatLsn(firstLsn), end],
    )
  ).rows;
  await client.end();
  await server.crash();
  cpSync(join(server.dataDirectory, 'pg_wal'), wal, { recursive: true });
  segments = readdirSync(wal).filter((name) => name.length === 24);
});

afterAll(() => rmSync(directory, { recursive: true }));

/** A copy of the WAL that a test may damage. */
function copyWal(name: string): string {
  const copy = join(directory, name);
  cpSync(wal, copy, { recursive: true });
  return copy;
}

const segmentOf = (lsn: number): string =>
  formatSegmentName(1, Math.floor(lsn / SEGMENT_BYTES), SEGMENT_BYTES);

function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

const verify = async (...paths: string[]) => {
  const { code, values, error } = await runVarveJson<Report>('wal', 'verify', ...paths);
  return { code, report: values.at(-1) as Report, values, error };
};

describe('wal dump', () => {
  test('says the same of every record as pg_walinspect', async () => {
    const { code, values } = await runVarveJson<RecordObject>('wal', 'dump', wal);
    expect(code).toBe(0);
    expect(inspected.length).toBeGreaterThan(10_000);
    const ours = values.slice(0, inspected.length).map((record) => ({
      start_lsn: record.lsn,
      end_lsn: record.endLsn,
      prev_lsn: record.previousLsn,
      xid: String(record.xid),
      resource_manager: record.resourceManager,
      record_type: record.kind,
      record_length: record.totalBytes,
      fpi_length: record.imageBytes,
    }));
    expect(ours).toEqual(inspected.map((row) => ({ ...row, xid: String(row['xid']) })));
    expect(values.every((record) => !('bodyError' in record))).toBe(true);
  });

  test('a line shows the record, its body and its blocks, and nothing that moves the cursor', async () => {
    const { code, out } = await runVarve(
      'wal',
      'dump',
      wal,
      '--xid',
      String(prepared),
      '--rmgr',
      'transaction',
    );
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      /^rmgr: Transaction len \(rec\/tot\): +\d+\/ +\d+, tx: +\d+, lsn: 0\/[0-9A-F]+, prev 0\//,
    );
    expect(lines[0]).toMatch(/desc: PREPARE .*gid "a gid"/);
    expect(lines[1]).toMatch(new RegExp(`desc: COMMIT_PREPARED .*preparedXid ${prepared}\\b`));
    const all = await runVarve('wal', 'dump', wal, '--relation', relation, '--limit', '300');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is them that must not be there
    const unsafe = all.out.search(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    expect(unsafe).toBe(-1);
    const image = all.out.split('\n').find((line) => line.includes(' blk 0 (FPW'));
    expect(image).toMatch(
      /blkref #\d: rel [\d/]+( fork vm)? blk 0 \(FPW; hole: offset \d+, length \d+, \d+ bytes by pglz\)/,
    );
  });

  test('--start, --end and --limit choose a part', async () => {
    const [from, to] = [inspected[100], inspected[110]].map((row) => row?.['start_lsn'] as string);
    const part = ['--start', from as string, '--end', to as string];
    const { values } = await runVarveJson<RecordObject>('wal', 'dump', wal, ...part);
    expect(values.map(({ lsn }) => lsn)).toEqual(inspected.slice(100, 110).map((row) => row['start_lsn']));
    const within = formatLsn(parseLsn(from as string) + 1);
    const limited = await runVarveJson<RecordObject>('wal', 'dump', wal, '--start', within, '--limit', '2');
    expect(limited.values.map(({ lsn }) => lsn)).toEqual(
      inspected.slice(101, 103).map((row) => row['start_lsn']),
    );
  });

  test('files are found by their names, a renamed one by its header', async () => {
    const paths = segments.map((name) => join(wal, name));
    const whole = await verify(wal);
    expect((await verify(...paths.toReversed())).report).toEqual(whole.report);
    const renamed = join(directory, 'renamed');
    copyFileSync(paths[1] as string, renamed);
    const { values } = await runVarveJson<RecordObject>('wal', 'dump', renamed, '--limit', '1');
    expect(parseLsn(values[0]?.lsn as string)).toBeGreaterThanOrEqual(firstLsn + SEGMENT_BYTES);
    expect(values[0]?.lsn).toBe(
      inspected.find((row) => parseLsn(row['start_lsn'] as string) >= firstLsn + SEGMENT_BYTES)?.[
        'start_lsn'
      ],
    );
  });

  test('--stats counts all records and bytes', async () => {
    const { values } = await runVarveJson<{
      records: number;
      recordBytes: number;
      imageBytes: number;
      kinds: { resourceManager: string; kind: string; records: number }[];
    }>('wal', 'dump', wal, '--stats', '--end', inspected.at(-1)?.['end_lsn'] as string);
    const sum = (column: string): number => inspected.reduce((total, row) => total + Number(row[column]), 0);
    expect(values[0]).toMatchObject({
      records: inspected.length,
      recordBytes: sum('record_length') - sum('fpi_length'),
      imageBytes: sum('fpi_length'),
    });
    const inserts = inspected.filter(
      (row) => row['resource_manager'] === 'Heap' && row['record_type'] === 'INSERT',
    );
    expect(values[0]?.kinds).toContainEqual(
      expect.objectContaining({ resourceManager: 'Heap', kind: 'INSERT', records: inserts.length }),
    );
    const { out } = await runVarve('wal', 'dump', wal, '--stats');
    expect(out).toMatch(/^Type +N +\(%\) +Record size/);
    expect(out).toMatch(/\nTotal +\d+ +100\.00 /);
  });

  test.each([
    [['--block', '1'], 'MISSING_ARGUMENT'],
    [['--relation', '1/2'], 'INVALID_ARGUMENT'],
    [['--relation', '1/2/99999999999'], 'INVALID_ARGUMENT'],
    [['--page', '1/2/3'], 'INVALID_ARGUMENT'],
    [['--page', '1/2/3/4', '--block', '1'], 'CONFLICTING_OPTIONS'],
    [['--start', '1'], 'INVALID_ARGUMENT'],
    [['--limit', '-1'], 'INVALID_ARGUMENT'],
    [['--rmgr', 'Heap3'], 'INVALID_ARGUMENT'],
    [['--fork', 'side'], 'INVALID_ARGUMENT'],
  ])('%j is an error of usage', async (options, code) => {
    expect(await runVarveJson('wal', 'dump', wal, ...options)).toMatchObject({
      code: 2,
      values: [],
      error: { code },
    });
  });

  test('what is not there is named', async () => {
    const path = join(directory, 'nowhere');
    expect(await runVarveJson('wal', 'dump', path)).toMatchObject({
      code: 3,
      error: { kind: 'not-found', code: 'FILE_NOT_FOUND', place: { file: path } },
    });
    const empty = join(directory, 'empty');
    mkdirSync(empty);
    expect(await runVarveJson('wal', 'dump', empty)).toMatchObject({
      code: 3,
      error: { code: 'NO_WAL_SEGMENTS' },
    });
    expect(await runVarveJson('wal', 'dump', wal, '--start', 'FF/0')).toMatchObject({
      code: 3,
      error: { code: 'LSN_NOT_THERE', place: { lsn: 'FF/0' } },
    });
  });

  test('a file that is no WAL is refused', async () => {
    const path = join(directory, 'text');
    writeFileSync(path, 'this is no WAL, but long enough to have a header of WAL');
    expect(await runVarveJson('wal', 'dump', path)).toMatchObject({
      code: 8,
      error: { code: 'BAD_WAL_HEADER' },
    });
    writeFileSync(path, '');
    expect(await runVarveJson('wal', 'dump', path)).toMatchObject({
      code: 8,
      error: { code: 'BAD_WAL_HEADER' },
    });
  });

  test('ends at once when nobody reads on', async () => {
    const child = startVarve(['wal', 'dump', wal]);
    const exited = once(child, 'exit') as Promise<[number | null]>;
    child.stdout?.once('data', () => child.stdout?.destroy());
    let error = '';
    child.stderr?.on('data', (text: Buffer) => {
      error += text.toString();
    });
    expect({ code: (await exited)[0], error }).toEqual({ code: 0, error: '' });
  });
});

describe('wal grep', () => {
  const grep = (...options: string[]) => runVarveJson<RecordObject>('wal', 'grep', wal, ...options);

  test('a page: the records that name it, and what came over its file', async () => {
    const [, , file] = relation.split('/').map(Number);
    const { code, values } = await grep('--page', `${relation}/3`);
    expect(code).toBe(0);
    expect(values.length).toBeGreaterThan(10);
    const onPage = ({ blocks }: RecordObject): boolean =>
      blocks.some((block) => block.relation === file && block.block === 3 && block.fork === 'main');
    const others = values.filter((record) => !onPage(record));
    expect(others.map(({ resourceManager, kind }) => `${resourceManager} ${kind}`)).toEqual([
      // How initdb made the database.
      'Database CREATE_FILE_COPY',
      'Storage CREATE',
      'Transaction COMMIT',
    ]);
    const all = await runVarveJson<RecordObject>('wal', 'dump', wal);
    expect(values.filter(onPage)).toEqual(all.values.filter(onPage));
  });

  test('a page of the visibility map, also where heap records do not name it', async () => {
    const { code, values } = await grep('--page', `${relation}/0`, '--fork', 'vm');
    expect(code).toBe(0);
    const kinds = values.map(({ resourceManager, kind }) => `${resourceManager} ${kind}`);
    expect(kinds).toContain('Heap2 VISIBLE');
    expect(kinds).toContain('Heap HOT_UPDATE');
  });

  test('a subtransaction, with the commit of its parent', async () => {
    const { values } = await grep('--xid', String(subtransaction));
    expect(values.map(({ kind, xid }) => [kind, xid])).toEqual([
      ['INSERT', subtransaction],
      ['INSERT_LEAF', subtransaction],
      ['COMMIT', transaction],
    ]);
    expect(values.at(-1)?.body['subtransactions']).toEqual([subtransaction]);
  });

  test('a prepared transaction, with its end', async () => {
    const { values } = await grep('--xid', String(prepared));
    expect(values.map(({ kind }) => kind)).toEqual(['INSERT', 'INSERT_LEAF', 'PREPARE', 'COMMIT_PREPARED']);
  });

  test('ends with 1 where there is nothing, with 2 where nothing was asked', async () => {
    expect(await runVarve('wal', 'grep', wal, '--xid', '4000000000')).toEqual({
      code: 1,
      out: '',
      error: '',
    });
    expect(await grep()).toMatchObject({ code: 2, error: { code: 'MISSING_ARGUMENT' } });
  });
});

describe('wal verify', () => {
  test('finds all well up to where nothing has been written', async () => {
    const { code, report, error } = await verify(wal);
    expect({ code, error }).toEqual({ code: 0, error: undefined });
    expect(report).toMatchObject({ files: segments.length, undecodable: 0, end: { kind: 'zeros' } });
    expect(report.records).toBeGreaterThanOrEqual(inspected.length);
    expect(report.end.lsn).toBe(report.endLsn);
    const { out } = await runVarve('wal', 'verify', wal);
    expect(out).toContain(`records    ${report.records}, `);
    expect(out).toMatch(/\nend +zeros: /);
  });

  test('files that end in the middle of a record are no damage', async () => {
    const copy = copyWal('one');
    const path = join(copy, segments[0] as string);
    const { code, report } = await verify(path);
    expect(code).toBe(0);
    expect(report.end).toMatchObject({ kind: 'files', file: path });
    truncateSync(path, PAGE_BYTES * 7 + 1234);
    const cut = await verify(path);
    expect(cut.code).toBe(0);
    expect(cut.report.records).toBeLessThan(report.records);
    expect(cut.report.end.kind).toBe('files');
  });

  test('a flipped bit is found, with file, offset and LSN, after all records before it', async () => {
    const copy = copyWal('flipped');
    const victim = inspected[5000] as Record<string, string>;
    const lsn = parseLsn(victim['start_lsn'] as string);
    const path = join(copy, segmentOf(lsn));
    const offset = lsn % SEGMENT_BYTES;
    const at = offset + 18;
    overwrite(path, at, Uint8Array.of((readFileSync(path)[at] as number) ^ 0x10));
    const { code, report, error } = await verify(copy);
    expect(code).toBe(8);
    expect(report).toMatchObject({ records: 5000, end: { kind: 'damage', file: path, offset } });
    expect(error).toMatchObject({
      kind: 'corruption',
      place: { file: path, offset, lsn: victim['start_lsn'] },
    });
    const dumped = await runVarveJson('wal', 'dump', copy);
    expect(dumped.code).toBe(8);
    expect(dumped.values).toHaveLength(5000);
  });

  test('zeros in the middle are damage', async () => {
    const copy = copyWal('hole');
    const path = join(copy, segments[0] as string);
    overwrite(path, PAGE_BYTES * 40, new Uint8Array(PAGE_BYTES));
    expect(await verify(copy)).toMatchObject({ code: 8, error: { code: 'WAL_HOLE', place: { file: path } } });
    const second = copyWal('zero segment');
    const zeroed = join(second, segments[1] as string);
    writeFileSync(zeroed, new Uint8Array(SEGMENT_BYTES));
    expect(await verify(second)).toMatchObject({ code: 8, error: { code: 'WAL_HOLE' } });
  });

  test('a missing file in the middle is damage', async () => {
    const copy = copyWal('missing');
    rmSync(join(copy, segments[1] as string));
    expect(await verify(copy)).toMatchObject({
      code: 8,
      error: { code: 'WAL_MISSING', place: { lsn: formatLsn(firstLsn + SEGMENT_BYTES) } },
    });
  });

  test('a file that was cut off before others is damage', async () => {
    const copy = copyWal('cut');
    truncateSync(join(copy, segments[0] as string), PAGE_BYTES * 9);
    expect(await verify(copy)).toMatchObject({
      code: 8,
      error: { code: 'WAL_MISSING', place: { lsn: formatLsn(firstLsn + PAGE_BYTES * 9) } },
    });
  });

  test('what a recycled file has of its earlier life is the end', async () => {
    const copy = copyWal('recycled');
    const { report } = await verify(wal);
    const end = parseLsn(report.end.lsn);
    const path = join(copy, segmentOf(end));
    const old = readFileSync(join(wal, segmentOf(end - SEGMENT_BYTES)));
    const nextPage = Math.ceil((end % SEGMENT_BYTES) / PAGE_BYTES) * PAGE_BYTES;
    overwrite(path, nextPage, old.subarray(nextPage));
    expect(await verify(copy)).toMatchObject({ code: 0, report: { records: report.records } });
    // The whole file is still as it was.
    overwrite(path, 0, old);
    const recycled = await verify(copy);
    expect(recycled).toMatchObject({ code: 0, report: { end: { kind: 'recycled' } } });
    expect(parseLsn(recycled.report.end.lsn)).toBeLessThanOrEqual(
      Math.floor(end / SEGMENT_BYTES) * SEGMENT_BYTES,
    );
  });

  test('a record that cannot be decoded is named, and the rest is read', async () => {
    const segmentBytes = SEGMENT_BYTES;
    const startLsn = segmentBytes * 3;
    const writer = new WalWriter({
      version: POSTGRES_17,
      segmentBytes,
      systemIdentifier: 7n,
      timelineId: 1,
      startLsn,
      previousLsn: 0,
    });
    const noop = { resourceManager: 0, info: 0x20, mainData: new Uint8Array(4) };
    writer.append(noop);
    const custom = writer.append({ resourceManager: 200, info: 0x10, mainData: new Uint8Array(9) });
    // An XLOG NEXTOID without its OID.
    const cut = writer.append({ resourceManager: 0, info: 0x30, mainData: new Uint8Array(2) });
    writer.append(noop);
    const path = join(directory, 'undecodable');
    writeFileSync(path, writer.take());
    const { code, values, error } = await verify(path);
    expect(code).toBe(8);
    expect(values).toMatchObject([
      { undecodable: { lsn: formatLsn(custom.startLsn), file: path, resourceManager: 'custom200' } },
      { undecodable: { lsn: formatLsn(cut.startLsn), resourceManager: 'XLOG', kind: 'NEXTOID' } },
      { records: 4, undecodable: 2, end: { kind: 'files' } },
    ]);
    expect(error).toMatchObject({ code: 'UNDECODABLE_RECORDS' });
    const dumped = await runVarve('wal', 'dump', path);
    expect(dumped.code).toBe(0);
    expect(dumped.out).toMatch(
      /desc: UNKNOWN \(0x10\) \(cannot be decoded: no replay is known for this record\)\n/,
    );
  });

  test('a long record that a crash has cut off is the end, where it begins', async () => {
    const startLsn = SEGMENT_BYTES * 3;
    const options = {
      version: POSTGRES_17,
      segmentBytes: SEGMENT_BYTES,
      systemIdentifier: 7n,
      timelineId: 1,
    };
    const writer = new WalWriter({ ...options, startLsn, previousLsn: 0 });
    const whole = writer.append({ resourceManager: 0, info: 0x20, mainData: new Uint8Array(4) });
    const long = writer.append({ resourceManager: 0, info: 0x20, mainData: new Uint8Array(100_000).fill(7) });
    const bytes = new Uint8Array(SEGMENT_BYTES);
    bytes.set(writer.take().subarray(0, PAGE_BYTES * 5));
    const path = join(directory, 'cut off');
    writeFileSync(path, bytes);
    const { code, report } = await verify(path);
    expect(code).toBe(0);
    expect(report).toMatchObject({
      records: 1,
      lastLsn: formatLsn(whole.startLsn),
      end: { kind: 'zeros', lsn: formatLsn(long.startLsn), file: path },
    });
    // The same zeros with WAL behind them are damage.
    const later = new WalWriter({
      ...options,
      startLsn: startLsn + PAGE_BYTES * 9,
      previousLsn: long.startLsn,
    });
    later.append({ resourceManager: 0, info: 0x20, mainData: new Uint8Array(4) });
    bytes.set(later.take(), PAGE_BYTES * 9);
    writeFileSync(path, bytes);
    expect(await verify(path)).toMatchObject({ code: 8, error: { code: 'WAL_HOLE' } });
  });

  test('of two timelines the newer one is followed', async () => {
    const copy = copyWal('timelines');
    const newer = (name: string): string => `00000002${name.slice(8)}`;
    copyFileSync(join(copy, segments[1] as string), join(copy, newer(segments[1] as string)));
    const { report } = await verify(copy);
    expect(report).toMatchObject({ files: 2, abandonedFiles: segments.length - 1, end: { kind: 'files' } });
  });

  test('one segment twice is refused', async () => {
    const path = join(wal, segments[0] as string);
    expect(await verify(path, path)).toMatchObject({ code: 2, error: { code: 'DUPLICATE_SEGMENT' } });
  });
});
