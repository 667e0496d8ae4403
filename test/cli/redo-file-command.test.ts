import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { HEAP_XMIN_COMMITTED, TUPLE_INFOMASK } from '../../src/postgres/page/heap-tuple.ts';
import { lineItemOffset, linePointerOffset, Page } from '../../src/postgres/page/page.ts';
import {
  XLOG_HEAP_DELETE,
  XLOG_HEAP_INIT_PAGE,
  XLOG_HEAP_INSERT,
} from '../../src/postgres/rmgr/heap-layout.ts';
import { RM_HEAP } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { encodeRecord } from '../../src/postgres/wal/record-writer.ts';
import { encodeRedoCase, type RedoCase, runRedoCase } from '../../src/redo/redo-case.ts';
import { ByteWriter } from '../support/record-builder.ts';
import { runVarve, runVarveJson } from '../support/varve-command.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-redo-file-'));
afterAll(() => rmSync(directory, { recursive: true }));

const place = { tablespace: 1663, database: 5, relation: 16384 };
const LSN = 0x100_0028;

/** INSERT of one row into a new page. */
const insertRecord = encodeRecord(
  {
    resourceManager: RM_HEAP,
    info: XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE,
    xid: 700,
    mainData: new ByteWriter().u16(1).u8(0).finish(),
    blocks: [
      {
        ...place,
        blockId: 0,
        blockNumber: 7,
        willInitialize: true,
        data: new ByteWriter().u16(1).u16(0x0800).u8(24).u8(0).u32(42).finish(),
      },
    ],
  },
  LSN - 0x20,
);
/** DELETE of a row that the page does not have. */
const deleteRecord = encodeRecord(
  {
    resourceManager: RM_HEAP,
    info: XLOG_HEAP_DELETE,
    xid: 700,
    mainData: new ByteWriter().u32(700).u16(9).u8(0).u8(0).finish(),
    blocks: [{ ...place, blockId: 0, blockNumber: 7 }],
  },
  LSN,
);

const plainCase: RedoCase = {
  postgresVersion: POSTGRES_17,
  ...place,
  fork: 0,
  block: 7,
  hintBitsAreLogged: true,
  before: new Uint8Array(8192),
  records: [{ startLsn: LSN, endLsn: LSN + 0x60, bytes: insertRecord }],
};
const result = runRedoCase(plainCase).page.bytes;

function writeCase(name: string, redoCase: RedoCase): string {
  const path = join(directory, `${name}.redo.json`);
  writeFileSync(path, encodeRedoCase(redoCase));
  return path;
}

const steps = [{ lsn: '0/1000028', record: 'Heap INSERT+INIT', result: 'applied' }];

test('a case is repeated, and its page written', async () => {
  const path = writeCase('plain', plainCase);
  const out = join(directory, 'page');
  const { code, values } = await runVarveJson('wal', 'redo-file', path, '--out', out);
  expect(code).toBe(0);
  expect(values).toEqual([{ page: '1663/5/16384 fork main block 7', steps, pageLsn: '0/1000088' }]);
  expect(new Uint8Array(readFileSync(out))).toEqual(result);
  expect(await runVarveJson('wal', 'redo-file', path, '--out', out)).toMatchObject({
    code: 4,
    error: { code: 'FILE_EXISTS', place: { file: out } },
  });
});

test('the expected page: equal, different under the mask or only without it', async () => {
  const equal = await runVarveJson(
    'wal',
    'redo-file',
    writeCase('equal', { ...plainCase, expected: result }),
  );
  expect(equal).toMatchObject({
    code: 0,
    values: [{ comparison: { isEqual: true, isEqualUnderMask: true } }],
  });

  const hinted = new Page(result.slice());
  const infomask = lineItemOffset(hinted.view.getUint32(linePointerOffset(1), true)) + TUPLE_INFOMASK;
  hinted.view.setUint16(infomask, hinted.view.getUint16(infomask, true) | HEAP_XMIN_COMMITTED, true);
  const masked = writeCase('masked', { ...plainCase, expected: hinted.bytes });
  expect(await runVarveJson('wal', 'redo-file', masked)).toMatchObject({
    code: 0,
    values: [{ comparison: { isEqual: false, isEqualUnderMask: true, firstDifference: infomask + 1 } }],
  });
  expect((await runVarve('wal', 'redo-file', masked)).out).toContain('but only in what the mask hides');

  const other = result.slice();
  other[8186] = 0xee;
  const differing = writeCase('differing', { ...plainCase, expected: other, note: 'a note\u001b[31m' });
  expect(await runVarveJson('wal', 'redo-file', differing)).toMatchObject({
    code: 1,
    values: [{ comparison: { isEqual: false, isEqualUnderMask: false } }],
    error: undefined,
  });
  const { out } = await runVarve('wal', 'redo-file', differing);
  expect(out).toContain('note     "a note\\u001b[31m"\n');
  expect(out).toMatch(
    /outcome {2}page LSN 0\/1000088, differs from the expected page .*, also under the mask\n$/,
  );
});

test('a record that cannot be replayed ends it', async () => {
  const records = [...plainCase.records, { startLsn: LSN + 0x60, endLsn: LSN + 0xa0, bytes: deleteRecord }];
  const path = writeCase('failing', { ...plainCase, records, expected: result });
  const { code, values, error } = await runVarveJson('wal', 'redo-file', path);
  expect(code).toBe(8);
  expect(values).toMatchObject([
    { steps: [...steps, { record: 'Heap DELETE', error: { code: 'REDO_FAILED' } }] },
  ]);
  expect(error).toMatchObject({ code: 'REDO_CASE_FAILED', place: { file: path, lsn: '0/1000088' } });
});

test('what is no redo case is refused', async () => {
  const path = join(directory, 'broken.redo.json');
  writeFileSync(path, '{"format": "varve-redo-case", "version": 2}');
  expect(await runVarveJson('wal', 'redo-file', path)).toMatchObject({
    code: 2,
    error: { code: 'BAD_REDO_CASE', place: { file: path } },
  });
  writeFileSync(path, 'secret words, no JSON');
  const { error } = await runVarveJson('wal', 'redo-file', path);
  expect(error?.message).toContain(path);
  expect(error?.message).not.toContain('secret');
});
