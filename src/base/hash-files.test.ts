import { expect, test } from 'vitest';
import { hashFiles } from './hash-files.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('the hash of files changes with each name, each content, and where one ends', () => {
  const hashes = [
    hashFiles([]),
    hashFiles([['a', bytes('')]]),
    hashFiles([['a', bytes('b')]]),
    hashFiles([['b', bytes('b')]]),
    hashFiles([
      ['a', bytes('b')],
      ['c', bytes('')],
    ]),
    hashFiles([
      ['a', bytes('')],
      ['c', bytes('b')],
    ]),
    hashFiles([['a', bytes('bc\n0\n')]]),
  ];
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(hashFiles(new Map([['a', bytes('b')]]))).toBe(hashes[2]);
  expect(hashes[0]).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});
