import { describe, expect, test } from 'vitest';
import { BadRequestError, CorruptionError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import {
  AUXILIARY_CONTENT_BYTES_MAX,
  auxiliaryFileKey,
  changeAuxiliaryFiles,
  decodeAuxiliaryFiles,
  encodeAuxiliaryFiles,
} from './auxiliary-file.ts';

const content = (text: string): Uint8Array => new TextEncoder().encode(text);
const change = (
  path: string,
  lsn: number,
  text?: string,
): { path: string; lsn: ReturnType<typeof toLsn>; content: Uint8Array | undefined } => ({
  path,
  lsn: toLsn(lsn),
  content: text === undefined ? undefined : content(text),
});

describe('keys of auxiliary files', () => {
  test('begin with the directory and end with the hash of the rest of the path', () => {
    // FNV-1a with 128 bits of "" is its offset basis, of "a" d228cb696f1a8caf78912b704e4a8964.
    const key = auxiliaryFileKey('pg_logical/mappings/a');
    expect(key).toEqual({
      kind: 0x62,
      field2: 0x0101,
      field3: 0x696f1a8c,
      field4: 0xaf78912b,
      field5: 0x70,
      index: 0x4e4a8964,
    });
    expect(auxiliaryFileKey('pg_logical/replorigin_checkpoint')).toEqual({
      kind: 0x62,
      field2: 0x0103,
      field3: 0x2e07bb01,
      field4: 0x4262b821,
      field5: 0x75,
      index: 0x6295c58d,
    });
  });

  test('have a code for each directory', () => {
    const codes = [
      'pg_logical/snapshots/x',
      'pg_logical/x',
      'pg_replslot/x',
      'pg_stat/x',
      'x',
      'pg_statx',
    ].map((path) => auxiliaryFileKey(path).field2);
    expect(codes).toEqual([0x0102, 0x01ff, 0x0201, 0x0301, 0xffff, 0xffff]);
  });
});

describe('a list of auxiliary files', () => {
  test('gets files, changes them and loses them', () => {
    const one = changeAuxiliaryFiles(undefined, change('a', 10, 'first'));
    const two = changeAuxiliaryFiles(one, change('b', 11, ''));
    const changed = changeAuxiliaryFiles(two, change('a', 12, 'second'));
    expect(decodeAuxiliaryFiles(changed)).toEqual([
      { path: 'a', lsn: 12, content: content('second') },
      { path: 'b', lsn: 11, content: content('') },
    ]);
    const left = changeAuxiliaryFiles(changed, change('a', 13));
    expect(decodeAuxiliaryFiles(left).map(({ path }) => path)).toEqual(['b']);
    expect(changeAuxiliaryFiles(left, change('b', 13))).toHaveLength(0);
    expect(changeAuxiliaryFiles(left, change('c', 13))).toBe(left);
  });

  test('is not changed by what is older', () => {
    const old = changeAuxiliaryFiles(undefined, change('a', 10, 'first'));
    expect(changeAuxiliaryFiles(old, change('a', 9, 'late'))).toBe(old);
    expect(changeAuxiliaryFiles(old, change('a', 9))).toBe(old);
  });

  test('refuses paths and contents that cannot be', () => {
    for (const path of ['', 'a\0b', '\ud800', 'x'.repeat(1025)]) {
      expect(() => changeAuxiliaryFiles(undefined, change(path, 1, 'x'))).toThrow(BadRequestError);
    }
    const tooLong = { path: 'a', lsn: toLsn(1), content: new Uint8Array(AUXILIARY_CONTENT_BYTES_MAX + 1) };
    expect(() => changeAuxiliaryFiles(undefined, tooLong)).toThrow(BadRequestError);
  });

  test('that is damaged is refused, wherever it ends', () => {
    const whole = encodeAuxiliaryFiles([{ path: 'ä', lsn: toLsn(5), content: content('content') }]);
    for (let length = 2; length < whole.length; length++) {
      expect(() => decodeAuxiliaryFiles(whole.subarray(0, length))).toThrow(CorruptionError);
    }
    expect(() => decodeAuxiliaryFiles(Uint8Array.of(2))).toThrow(/version 2/);
    const foreign = whole.slice();
    foreign[5] = 0xff;
    expect(() => decodeAuxiliaryFiles(foreign)).toThrow(/UTF-8/);
  });
});
