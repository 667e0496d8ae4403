import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const range = (prefix: string, last: number): string[] =>
  Array.from({ length: last }, (_, index) => `${prefix}-${String(index + 1).padStart(2, '0')}`);

/** The behaviours that the storage must show, by the ids under which the design speaks of them. */
const BEHAVIOURS = [
  ...range('SK', 28),
  ...range('BW', 20),
  ...range('IO', 12),
  ...range('VF', 10),
  ...range('PC', 3),
  ...range('WR', 4),
  ...range('IX', 5),
  ...range('PS', 22),
  ...range('HT', 2),
  'IX-10',
  'GN-01',
  'GN-04',
  'GN-05',
  'GN-06',
  'DB-01',
];

test('every behaviour has a test that is named by its id', () => {
  const titles = ['src', 'test', 'tools', 'bench']
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((path) =>
        join(ROOT, folder, path),
      ),
    )
    .filter((path) => /\.ts$/.test(path) && !path.endsWith('behaviours.test.ts'))
    .flatMap((path) => readFileSync(path, 'utf8').match(/['"`][^'"`\n]*\b[A-Z]{2}-\d{2}[^'"`\n]*/g) ?? [])
    .join('\n');
  expect(BEHAVIOURS.filter((id) => !titles.includes(id))).toEqual([]);
});
