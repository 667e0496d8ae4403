import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { delta, named, TENANT, TIMELINE } from '../../../test/support/remote-world.ts';
import { VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId } from '../../base/ids.ts';
import { encodeCheckedJson } from './checked-text.ts';
import { adoptTenants, DeletionBatch } from './deletion-batch.ts';
import {
  type DeletionList,
  decodeDeletionHeader,
  decodeDeletionList,
  deletionListName,
  encodeDeletionHeader,
  encodeDeletionList,
  keysOfList,
  parseDeletionListName,
} from './deletion-list.ts';
import { layerKey, layerObjectName } from './object-keys.ts';

const GOLDEN = new URL('../../../test/golden/deletion-list-1.txt', import.meta.url);
const LAYER = named(delta(0, 3));
const LIST: DeletionList = {
  sequence: 31,
  isValidated: true,
  tenants: [
    {
      tenantId: TENANT,
      generation: 7,
      timelines: new Map([[TIMELINE, [layerObjectName(LAYER.name, 3), 'timeline-index-00000003']]]),
    },
  ],
};

test('IX-08: a deletion list is what the stored example of version 1 says', () => {
  const golden = readFileSync(GOLDEN);
  expect(Buffer.from(encodeDeletionList(LIST)).toString()).toBe(golden.toString());
  expect(decodeDeletionList(golden, 'x')).toEqual(LIST);
  expect([...keysOfList(LIST)][0]).toBe(layerKey({ tenantId: TENANT, timelineId: TIMELINE }, LAYER));
  expect(decodeDeletionHeader(encodeDeletionHeader(31), 'x')).toBe(31);
});

test('names of lists sort as their numbers do, and other names are none', () => {
  expect(deletionListName(31)).toBe('000000000000001f-01.list');
  expect(parseDeletionListName('000000000000001f-01.list')).toBe(31);
  for (const name of [
    'header-01',
    '1f-01.list',
    '000000000000001f-02.list',
    '000000000000001F-01.list',
    'ffffffffffffffff-01.list',
  ]) {
    expect(parseDeletionListName(name), name).toBeUndefined();
  }
});

test('damage anywhere, and any bytes, are a typed error that names the file', () => {
  const refuse = (bytes: Uint8Array, decode: (bytes: Uint8Array, file: string) => unknown): void => {
    try {
      decode(bytes, 'the-file');
    } catch (error) {
      expect(error).toBeInstanceOf(VarveError);
      expect((error as VarveError).message).toContain('the-file');
      return;
    }
    throw new Error('this was taken');
  };
  for (const [bytes, decode] of [
    [encodeDeletionList(LIST), decodeDeletionList],
    [encodeDeletionHeader(5), decodeDeletionHeader],
  ] as const) {
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1 << (at % 8);
      refuse(damaged, decode);
      refuse(bytes.subarray(0, at), decode);
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => refuse(noise, decode)));
  }
});

test('what a list says is checked, with a right CRC too', () => {
  const format = { name: 'varve-deletion-list', version: 1, errorCode: 'X', bytesMax: 1e6 };
  const tenant = { tenantId: TENANT, generation: 7, timelines: [{ timelineId: TIMELINE, objects: ['a'] }] };
  const list = { sequence: 1, isValidated: false, tenants: [tenant] };
  expect(decodeDeletionList(encodeCheckedJson(format, list), 'x').sequence).toBe(1);
  const wrong: unknown[] = [
    null,
    { ...list, other: 1 },
    { ...list, sequence: -1 },
    { ...list, isValidated: 1 },
    { ...list, tenants: [{ ...tenant, generation: 0 }] },
    { ...list, tenants: [{ ...tenant, tenantId: 'x' }] },
    ...['', '..', '../x', 'a//b', 'a\0'].map((name) => ({
      ...list,
      tenants: [{ ...tenant, timelines: [{ timelineId: TIMELINE, objects: [name] }] }],
    })),
  ];
  for (const value of wrong) {
    expect(() => decodeDeletionList(encodeCheckedJson(format, value), 'x'), JSON.stringify(value)).toThrow(
      VarveError,
    );
  }
});

test('lists of an earlier process are taken over only where nobody came in between', () => {
  const other = parseTenantId('0'.repeat(32));
  const third = parseTenantId('1'.repeat(32));
  const batch = new DeletionBatch();
  const timelineId = parseTimelineId('2'.repeat(32));
  for (const tenantId of [TENANT, other, third]) batch.add({ tenantId, timelineId }, 7, ['a', 'b']);
  batch.add({ tenantId: TENANT, timelineId }, 7, ['c']);
  expect(batch.count).toBe(7);
  expect(batch.takes(TENANT, 8)).toBe(false);
  expect(batch.takes(TENANT, 7)).toBe(true);
  const adopted = (attached: [TenantId, number][]) =>
    adoptTenants(batch.tenants(), new Map(attached)).map(({ tenantId, generation }) => [
      tenantId,
      generation,
    ]);
  expect(
    adopted([
      [TENANT, 8],
      [other, 9],
      [third, 7],
    ]),
  ).toEqual([
    [TENANT, 8],
    [third, 7],
  ]);
  expect(adopted([[TENANT, 6]])).toEqual([]);
  expect(adopted([])).toEqual([]);
});
