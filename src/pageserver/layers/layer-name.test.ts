import { expect, test } from 'vitest';
import { toLsn } from '../../base/lsn.ts';
import { KEY_MAX, KEY_MIN, parseKey } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import {
  findLayerFile,
  formatLayerFileName,
  formatLayerName,
  isLevel0,
  type NamedLayerFile,
  parseLayerName,
} from './layer-name.ts';

const START = '000000067F00000005000040000000000000';
const END = '000000067F0000000500004000000000000B';
const keys = { start: parseKey(START), end: parseKey(END) };
const delta: NamedLayerFile = {
  kind: 'delta',
  keys,
  lsnStart: toLsn(0x16b_5a50),
  lsnEnd: toLsn(0x1f_ffff_ffff_ffff),
  generation: 0xab,
};
const image: NamedLayerFile = { kind: 'image', keys, lsnStart: toLsn(16), lsnEnd: toLsn(17), generation: 0 };

test('names of layers and of their files, there and back', () => {
  expect(formatLayerName(delta)).toBe(`${START}-${END}__00000000016B5A50-001FFFFFFFFFFFFF`);
  expect(formatLayerName(image)).toBe(`${START}-${END}__0000000000000010`);
  expect(formatLayerFileName(delta)).toBe(`${formatLayerName(delta)}-v1-000000ab`);
  expect(formatLayerFileName(image)).toBe(`${formatLayerName(image)}-v1-00000000`);
  for (const layer of [delta, image]) {
    const { generation: _, ...named } = layer;
    expect(parseLayerName(formatLayerName(layer))).toEqual(named);
    expect(findLayerFile(formatLayerFileName(layer))).toEqual(layer);
  }
});

const WRONG = [
  '',
  START,
  `${START}-${END}`,
  `${START}-${END}__`,
  `${START}-${END}_0000000000000010`,
  `${START}-${END}__000000000000001`,
  `${START}-${END}__0000000000000010-`,
  `${START}-${END}__0000000000000010-0000000000000010`,
  `${START}-${END}__0000000000000011-0000000000000010`,
  `${START}-${END}__0000000000000010-0020000000000000`,
  `${START}-${END}__0020000000000000`,
  `${START}-${END}__001FFFFFFFFFFFFF`,
  `${END}-${START}__0000000000000010`,
  `${START}-${START}__0000000000000010`,
  `${START.toLowerCase()}-${END.toLowerCase()}__0000000000000010`,
  ` ${START}-${END}__0000000000000010`,
  `${START}-${END}__0000000000000010\n`,
];

test.each(WRONG)('no name of a layer: %j', (name) => {
  expect(() => parseLayerName(name)).toThrow(expect.objectContaining({ code: 'BAD_LAYER_NAME' }));
  expect(findLayerFile(`${name}-v1-00000001`)).toBeUndefined();
});

test('a file of another version, with a damaged generation or being written is no layer', () => {
  const name = formatLayerName(image);
  expect(findLayerFile(`${name}-v1-00000001`)?.generation).toBe(1);
  for (const suffix of [
    '',
    '-v2-00000001',
    '-v1-0000001',
    '-v1-0000000G',
    '-v1-0000000A',
    '-v1-00000001.temporary',
  ]) {
    expect(findLayerFile(name + suffix)).toBeUndefined();
  }
});

test('level 0 are delta layers of all keys', () => {
  expect(isLevel0({ kind: 'delta', keys: ALL_KEYS })).toBe(true);
  expect(isLevel0({ kind: 'image', keys: ALL_KEYS })).toBe(false);
  expect(isLevel0({ kind: 'delta', keys: { start: KEY_MIN, end: parseKey(END) } })).toBe(false);
  expect(isLevel0({ kind: 'delta', keys: { start: parseKey(START), end: KEY_MAX } })).toBe(false);
});
