import { expect, test } from 'vitest';
import { listFiles, readText } from '../../tools/source-files.ts';

const ROW = /^\| .* \| (?:`(src\/[^`]+)`|[^|]*) \| .* \| `([^`]+\.test\.ts)`: "([^"]+)" \|$/;

const rows = readText('docs/pageserver-files.md')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| Name'))
  .map((line) => {
    const match = ROW.exec(line);
    if (match === null) throw new Error(`not a row of the table: ${line}`);
    const [, writer, testPath = '', title = ''] = match;
    return { writer, testPath, title };
  });

test('IO-08: each kind of local file is documented with a test that shows what a crash does to it', () => {
  expect(rows.length).toBeGreaterThan(5);
  for (const { testPath, title } of rows) expect(readText(testPath), testPath).toContain(title);
});

test('IO-08: nothing but what is documented writes local files', () => {
  const writers = listFiles('src/pageserver').filter((path) => {
    if (path.endsWith('.test.ts')) return false;
    return /\b(openForUpdate|replaceFile|[fF]iles\??\s*\.create)\(/.test(readText(path));
  });
  expect(writers).toEqual([...new Set(rows.flatMap(({ writer }) => writer ?? []))].sort());
});
