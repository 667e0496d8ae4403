import { expect, test } from 'vitest';
import { findLines } from './toml-lines.ts';

test('each value has the line that it begins on, whatever is written over several', () => {
  const text = [
    '# a comment with a = sign',
    'top.dotted = 1',
    '',
    '[start] # with a comment',
    'port = 5432',
    'text = """',
    'port = 1',
    '"""',
    'list = [',
    '  "[start]",',
    '] ',
    '[compute.set]',
    'work_mem = "8MB"',
    '"quoted name" = { inner = true }',
  ].join('\n');
  const lines = [...findLines(text)].map(([key, line]) => [key.replaceAll('\0', '/'), line]);
  expect(lines).toEqual([
    ['top', 2],
    ['top/dotted', 2],
    ['start', 4],
    ['start/port', 5],
    ['start/text', 6],
    ['start/list', 9],
    ['compute/set', 12],
    ['compute/set/work_mem', 13],
    ['compute/set/quoted name', 14],
    ['compute/set/quoted name/inner', 14],
  ]);
});
