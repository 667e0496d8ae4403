import { expect, test } from 'vitest';
import { resultText } from './result-text.ts';

test('rows are a table, with numbers to the right', () => {
  const text = resultText({
    columns: ['id', 'name'],
    rows: [
      ['1', 'ä'],
      ['10', null],
    ],
    commandTag: 'SELECT 2',
  });
  expect(text.split('\n')).toEqual([' id | name', '----+------', '  1 | ä', ' 10 |', '(2 rows)', '', '']);
});

test('a command without rows says what it did', () => {
  expect(resultText({ columns: [], rows: [], commandTag: 'CREATE TABLE' })).toBe('CREATE TABLE\n');
  expect(resultText({ columns: [], rows: [], commandTag: '' })).toBe('');
});

test('values cannot write to the terminal', () => {
  const text = resultText({ columns: ['a'], rows: [['\u001b[2J\n\u009b']], commandTag: 'SELECT 1' });
  expect(text).toContain('\\x1b[2J\\n\\x9b');
  expect(text).not.toContain('\u001b');
});
