import { describe, expect, test } from 'vitest';
import { findDeadLinks, findLongFiles, findStaleNames, findStateWrites, findUnfinished } from './rules.ts';

describe('unfinished work', () => {
  test.each(['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'])('%s is found', (mark) => {
    const problems = findUnfinished({ path: 'src/a.ts', text: `const a = 1;\n// ${mark}: later\n` });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`src/a.ts:2: ${mark}: `);
  });

  test('words that only hold the letters are not', () => {
    expect(findUnfinished({ path: 'a.ts', text: "mkdtemp('XXXXXX'); // SQLSTATE XX000, todos" })).toEqual([]);
  });
});

describe('long files', () => {
  const file = { path: 'src/a.ts', text: 'a;\n'.repeat(11) };

  test('a file with more lines than allowed is found', () => {
    expect(findLongFiles([file], 10, {})).toEqual([
      expect.stringMatching(/^src\/a\.ts: 11 lines, 10 are allowed: /),
    ]);
    expect(findLongFiles([file], 11, {})).toEqual([]);
  });

  test('an exception holds as long as it is needed', () => {
    expect(findLongFiles([file], 10, { 'src/a.ts': 'one table' })).toEqual([]);
    expect(findLongFiles([file], 11, { 'src/a.ts': 'one table' })).toEqual([
      expect.stringMatching(/any more/),
    ]);
    expect(findLongFiles([], 10, { 'src/gone.ts': 'one table' })).toEqual([
      expect.stringMatching(/^src\/gone\.ts: /),
    ]);
  });
});

describe('VF-02: state files are written in one way', () => {
  const find = (path: string, text: string, exceptions = {}) =>
    findStateWrites([{ path, text }], ['src/safekeeper'], exceptions);

  test.each([
    'await files.create(path, content);',
    'await this.#files.create(path, content);',
    'await this.#stateFiles\n  .create(path, content);',
    'await doors.files?.rename(a, b);',
    'await door\n.rename(a, b);',
    'await files.link(a, b);',
  ])('VF-02: %s is found', (text) => {
    expect(find('src/safekeeper/a.ts', `\n${text}`)).toEqual([
      expect.stringMatching(/^src\/safekeeper\/a\.ts:[23]: calls .*: state files are written by replaceFile/),
    ]);
  });

  test.each([
    ['src/safekeeper/a.ts', 'await replaceFile(files, directory, name, content); Timeline.create(files);'],
    ['src/safekeeper/a.ts', 'await files.openForUpdate(path); renamed(a); files.created(b);'],
    ['src/safekeeper/a.test.ts', 'await files.create(path, content);'],
    ['src/cli/a.ts', 'await files.create(path, content);'],
    ['src/io/replace-file.ts', 'await files.rename(a, b);'],
  ])('VF-02: %s may: %s', (path, text) => {
    expect(find(path, text)).toEqual([]);
  });

  test('VF-02: an exception holds as long as it is needed', () => {
    const exceptions = { 'src/safekeeper/a.ts': 'whole directories' };
    expect(find('src/safekeeper/a.ts', 'files.rename(a, b);', exceptions)).toEqual([]);
    expect(find('src/safekeeper/a.ts', '', exceptions)).toEqual([expect.stringMatching(/any more/)]);
  });
});

describe('links', () => {
  const tree: Record<string, string> = {
    'README.md': '# Varve\n## Who is it for?\n',
    'docs/exit-codes.md': '# Codes',
  };
  const find = (path: string, text: string) =>
    findDeadLinks(
      { path, text },
      (other) => other in tree || other === 'docs',
      (other) => tree[other] ?? '',
    );

  test.each([
    [
      'README.md',
      'see [codes](docs/exit-codes.md), [docs](docs) and [the web](https://example.org/docs/a.md)',
    ],
    [
      'docs/exit-codes.md',
      '[up](../README.md#who-is-it-for) [here](#codes)'.replace('#codes', '../docs/exit-codes.md#codes'),
    ],
    ['README.md', '```\n[not a link](docs/none)\n```'],
    ['README.md', '`[not a link](none.md)`'],
    ['src/a.ts', '// The format: docs/exit-codes.md.'],
  ])('%s: %s', (path, text) => {
    expect(find(path, text)).toEqual([]);
  });

  test.each([
    ['README.md', 'a\n[codes](docs/none.md)', 'README.md:2: links to docs/none.md, which does not exist'],
    ['docs/exit-codes.md', '[codes](docs/exit-codes.md)', /links to docs\/exit-codes\.md/],
    ['docs/exit-codes.md', '[up](../README.md#nowhere)', /README\.md has no such heading/],
    [
      'src/a.ts',
      '// The format: docs/formats/none.md.',
      'src/a.ts:1: names docs/formats/none.md, which does not exist',
    ],
    ['README.md', 'see `docs/none.md`', 'README.md:1: names docs/none.md, which does not exist'],
  ])('%s: %s is dead', (path, text, problem) => {
    expect(find(path, text)).toEqual([expect.stringMatching(problem)]);
  });
});

describe('walks through the code', () => {
  const find = (text: string) =>
    findStaleNames(
      { path: 'docs/follow/a.md', text },
      (path) => ['src/redo/apply.ts', 'src/redo/heap.ts'].includes(path),
      (path) => new Set(path === 'src/redo/heap.ts' ? ['redoInsert'] : []),
    );

  test('files and functions that exist', () => {
    expect(
      find(
        '`redo/apply.ts` calls `Heap.redoInsert(page, record)` of `src/redo/heap.ts`; `a word` is nothing',
      ),
    ).toEqual([]);
  });

  test('a file that does not', () => {
    expect(find('first\n`redo/gone.ts`')).toEqual([
      'docs/follow/a.md:2: names the file redo/gone.ts, which does not exist',
    ]);
  });

  test('a function that none of the named files has', () => {
    expect(find('`redo/apply.ts` calls `redoInsert()`')).toEqual([
      expect.stringMatching(/a\.md:1: names the function redoInsert/),
    ]);
  });
});
