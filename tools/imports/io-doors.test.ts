import { expect, test } from 'vitest';
import { listFiles, readText } from '../source-files.ts';
import { type ScannedFile, scanSource } from './scan.ts';
import { verifyImports } from './verify.ts';

const sources: readonly ScannedFile[] = listFiles('src')
  .filter((path) => path.endsWith('.ts'))
  .map((path) => scanSource(path, readText(path)));

const problemsWith = (path: string, text: string): string[] =>
  verifyImports([...sources, scanSource(path, text)]).filter((problem) => problem.startsWith(`${path}:`));

test('IO-10: no source goes to the file system around the door, and one that does is found', () => {
  expect(sources.length).toBeGreaterThan(100);
  expect(verifyImports(sources).filter((problem) => /imports node:fs/.test(problem))).toEqual([]);
  const path = 'src/pageserver/remote/planted.ts';
  for (const text of [
    "import { createWriteStream } from 'node:fs';\nexport const download = createWriteStream;",
    "import * as promises from 'node:fs/promises';\nexport { promises };",
    "export { open } from 'fs';",
    "export const later = () => import('node:fs');",
  ]) {
    expect(problemsWith(path, text)).toEqual([
      expect.stringMatching(/^src\/pageserver\/remote\/planted\.ts:1: imports node:fs.*: only src\/io\/node/),
    ]);
  }
});

test('VF-09: nothing waits for a lock while it holds up the event loop, and what would is found', () => {
  const locks = /uses Atomics\.wait/;
  expect(verifyImports(sources).filter((problem) => locks.test(problem))).toEqual([]);
  for (const text of ['Atomics.wait(flags, 0, 0);', 'await Atomics.waitAsync(flags, 0, 0).value;']) {
    expect(problemsWith('src/io/planted.ts', text)).toEqual([expect.stringMatching(locks)]);
  }
});
