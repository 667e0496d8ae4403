import { expect, test } from 'vitest';
import { refuses } from '../../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import { UnknownRecordError } from '../../base/errors.ts';
import { type BrinBody, brinResourceManager } from './brin.ts';
import { RM_BRIN } from './resource-manager.ts';

const tuple = Uint8Array.of(128, 0, 0, 0, 8, 1, 2, 3);
const decode = (parts: RecordParts): BrinBody => brinResourceManager.decodeBody(buildRecord(parts));
const insertion = { heapBlock: 128, pagesPerRange: 64, offsetNumber: 9 };
const insertionBytes = (): ByteWriter => new ByteWriter().u32s(128, 64).u16(9);
const updateBytes = (): ByteWriter => new ByteWriter().u16s(3, 0xabab).bytes(insertionBytes().finish());

test.each<[number, ByteWriter, BrinBody]>([
  [0x00, new ByteWriter().u32(64).u16(1), { kind: 'CREATE_INDEX', pagesPerRange: 64, version: 1 }],
  [0x10, insertionBytes(), { kind: 'INSERT', ...insertion, tuple }],
  [0x90, insertionBytes(), { kind: 'INSERT+INIT', ...insertion, tuple }],
  [0x20, updateBytes(), { kind: 'UPDATE', oldOffsetNumber: 3, ...insertion, tuple }],
  [0xa0, updateBytes(), { kind: 'UPDATE+INIT', oldOffsetNumber: 3, ...insertion, tuple }],
  [0x30, new ByteWriter().u16(4), { kind: 'SAMEPAGE_UPDATE', offsetNumber: 4, tuple }],
  [0x40, new ByteWriter().u32(2), { kind: 'REVMAP_EXTEND', targetBlock: 2 }],
  [
    0x50,
    new ByteWriter().u32s(64, 128).u16(5),
    { kind: 'DESUMMARIZE', pagesPerRange: 64, heapBlock: 128, offsetNumber: 5 },
  ],
])('info %i', (info, writer, body) => {
  const mainData = writer.finish();
  const parts = { resourceManager: RM_BRIN, info, mainData, blocks: [{ data: tuple }] };
  expect(decode(parts)).toEqual(body);
  expect(brinResourceManager.kindName(info)).toBe(body.kind);
  for (let length = 0; length < mainData.length; length++) {
    expect(refuses(() => decode({ ...parts, mainData: mainData.slice(0, length) }))).toBe(true);
  }
  expect(refuses(() => decode({ ...parts, mainData: Uint8Array.from([...mainData, 0]) }))).toBe(true);
  if ('tuple' in body) {
    const image = new Uint8Array(8192);
    expect(decode({ ...parts, blocks: [{ image }] })).toEqual({ ...body, tuple: undefined });
  }
});

test('unknown kinds, among them INIT with a kind that cannot make a page', () => {
  for (const info of [0x60, 0x70, 0x80, 0xb0, 0xc0, 0xd0]) {
    expect(brinResourceManager.kindName(info)).toBeUndefined();
    const parts = { resourceManager: RM_BRIN, info, mainData: new Uint8Array(4) };
    expect(() => decode(parts)).toThrow(UnknownRecordError);
  }
});
