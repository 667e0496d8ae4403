import { expect, test } from 'vitest';
import { refuses } from '../../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord, type RecordBlock } from '../../../test/support/record-builder.ts';
import { UnknownRecordError } from '../../base/errors.ts';
import { type GenericBody, genericResourceManager } from './generic.ts';
import { RM_GENERIC } from './resource-manager.ts';

const decode = (blocks: readonly RecordBlock[], info = 0, mainData = new Uint8Array(0)): GenericBody =>
  genericResourceManager.decodeBody(buildRecord({ resourceManager: RM_GENERIC, info, blocks, mainData }));

const data = new ByteWriter().u16s(30, 3).bytes([1, 2, 3]).u16s(8191, 1).bytes([9]).finish();

test('each block has its fragments', () => {
  const body = decode([{ data }, {}, { id: 3, image: new Uint8Array(8192) }]);
  const fragments = [
    { offset: 30, bytes: Uint8Array.of(1, 2, 3) },
    { offset: 8191, bytes: Uint8Array.of(9) },
  ];
  expect(body).toEqual({
    kind: 'Generic',
    pages: [
      { blockId: 0, fragments },
      { blockId: 1, fragments: [] },
      { blockId: 3, fragments: [] },
    ],
  });
  expect(genericResourceManager.kindName(0)).toBe('Generic');
});

test('damage is refused', () => {
  // Cut at 0 and after the first fragment, what is left is a delta.
  for (let length = 1; length < data.length; length++) {
    expect(
      refuses(() => void decode([{ data: data.slice(0, length) }])),
      `${length}`,
    ).toBe(length !== 7);
  }
  expect(() => decode([{ data: new ByteWriter().u16s(8190, 3).zeros(3).finish() }])).toThrow(
    /at 8190 of a page/,
  );
  expect(() => decode([{ id: 4, data }])).toThrow(/up to 4/);
  expect(refuses(() => void decode([{ data }], 0, Uint8Array.of(1)))).toBe(true);
  expect(() => decode([{ data }], 0x10)).toThrow(UnknownRecordError);
});
