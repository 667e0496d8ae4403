import { expect, test } from 'vitest';
import { RM_XLOG } from '../postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../postgres/versions/version.ts';
import { encodeRecord } from '../postgres/wal/record-writer.ts';
import { REDO_RESTORED } from './redo.ts';
import { decodeRedoCase, encodeRedoCase, type RedoCase, runRedoCase } from './redo-case.ts';

const place = { tablespace: 1663, database: 5, relation: 16384, fork: 0, block: 7 };

function makeCase(): RedoCase {
  const image = new Uint8Array(8192).fill(0xab);
  const bytes = encodeRecord(
    {
      resourceManager: RM_XLOG,
      info: 0xb0,
      blocks: [
        {
          ...place,
          blockId: 0,
          blockNumber: place.block,
          image: {
            bytes: image,
            holeOffset: 0,
            holeLength: 0,
            imageInfo: POSTGRES_17.imageApply,
            compressed: false,
          },
        },
      ],
    },
    0x28,
  );
  return {
    ...place,
    postgresVersion: POSTGRES_17,
    hintBitsAreLogged: true,
    before: new Uint8Array(8192),
    records: [{ startLsn: 0x100_0028, endLsn: 0x100_3000, bytes }],
    note: 'made by a test',
  };
}

test('a case comes back from its text, and replays', () => {
  const decoded = decodeRedoCase(encodeRedoCase(makeCase()));
  expect(decoded).toEqual(makeCase());
  const { steps, page } = runRedoCase(decoded);
  expect(steps).toEqual([{ startLsn: 0x100_0028, result: REDO_RESTORED }]);
  expect([...page.bytes.subarray(0, 9)]).toEqual([0, 0, 0, 0, 0, 0x30, 0, 1, 0xab]);
});

test('the text is pinned', () => {
  const text = encodeRedoCase({ ...makeCase(), before: new Uint8Array(0), records: [] });
  expect(text).toMatchInlineSnapshot(`
    "{
      "format": "varve-redo-case",
      "version": 1,
      "postgresVersion": 17,
      "page": {
        "tablespace": 1663,
        "database": 5,
        "relation": 16384,
        "fork": 0,
        "block": 7
      },
      "hintBitsAreLogged": true,
      "before": "",
      "records": [],
      "note": "made by a test"
    }
    "
  `);
});

test('a failing record is reported with its place and leaves the page before it', () => {
  const good = makeCase();
  const record = good.records[0];
  if (record === undefined) throw new Error('the case has one record');
  const torn = { ...record, bytes: record.bytes.slice(0, 100) };
  const { steps, page } = runRedoCase({ ...good, records: [record, torn] });
  expect(steps[1]?.error?.message).toMatch(/LSN 0\/1000028/);
  expect(page.bytes[100]).toBe(0xab);
  const { steps: elsewhere } = runRedoCase({ ...good, block: 8 });
  expect(elsewhere[0]?.error?.message).toMatch(/does not name the page/);
});

test('text that is no case is refused by field', () => {
  const text = encodeRedoCase(makeCase());
  expect(() => decodeRedoCase('{')).toThrow(/not JSON/);
  expect(() => decodeRedoCase('[]')).toThrow(/file is not an object/);
  expect(() => decodeRedoCase(text.replace('"version": 1', '"version": 2'))).toThrow(/only version 1/);
  expect(() => decodeRedoCase(text.replace('"block": 7', '"block": -7'))).toThrow(
    /file.page.block is out of range/,
  );
  expect(() => decodeRedoCase(text.replace('"postgresVersion": 17', '"postgresVersion": 3'))).toThrow(
    /PostgreSQL 3/,
  );
  expect(() => decodeRedoCase(text.replace(/"before": "[^"]*"/, '"before": "AAAA"'))).toThrow(
    /has 3 bytes, not 8192/,
  );
  expect(() => decodeRedoCase(text.replace(/"bytes": "/, '"bytes": "#'))).toThrow(/not base64/);
});
