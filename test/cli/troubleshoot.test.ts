import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Codes in the first cells of the tables of docs/troubleshoot.md. */
function codesOfTheDocument(): string[] {
  const lines = readFileSync(join(ROOT, 'docs/troubleshoot.md'), 'utf8').split('\n');
  const cells = lines.filter((line) => line.startsWith('| `')).map((line) => line.split('|')[1] as string);
  return cells.flatMap((cell) => [...cell.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code as string));
}

test('every code that is explained is one that the program gives', () => {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(ROOT, 'src', path), 'utf8'))
    .join('\n');
  const codes = codesOfTheDocument();
  expect(codes.length).toBeGreaterThan(40);
  expect(codes.filter((code) => !sources.includes(`'${code}'`))).toEqual([]);
});
