import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EXIT, EXIT_BY_KIND } from './exit-codes.ts';

const page = readFileSync(new URL('../../docs/exit-codes.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| (\d+) \| (?:`([a-z-]+)`)? ?\|/gm)].map(([, code, kind]) => ({
  code: Number(code),
  kind,
}));

test('the page lists each code once, and no other', () => {
  expect(rows.map(({ code }) => code)).toEqual(Object.values(EXIT).sort((a, b) => a - b));
});

test('the page and the code agree on the kind of error of each code', () => {
  const documented = Object.fromEntries(
    rows.flatMap(({ code, kind }) => (kind === undefined ? [] : [[kind, code]])),
  );
  expect(documented).toEqual(EXIT_BY_KIND);
});
