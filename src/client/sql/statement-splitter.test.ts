import { expect, test } from 'vitest';
import { isClientCopy, StatementSplitter } from './statement-splitter.ts';

function split(text: string): { statements: string[]; rest: string | undefined } {
  const splitter = new StatementSplitter();
  const statements = splitter.add(text);
  return { statements, rest: splitter.takeRest() };
}

test.each([
  ['select 1; select 2', ['select 1'], 'select 2'],
  [' ;; select 1 ;\n', ['select 1'], undefined],
  ["select ';', 'it''s;'; x", ["select ';', 'it''s;'"], 'x'],
  ["select 'a\\'; x", ["select 'a\\'"], 'x'],
  ["select e'\\';', 1; x", ["select e'\\';', 1"], 'x'],
  ["select name'\\'; x", ["select name'\\'"], 'x'],
  ['select "a;""b;"; x', ['select "a;""b;"'], 'x'],
  ['do $$ begin; end $$; x', ['do $$ begin; end $$'], 'x'],
  ['do $a$ $$; $b$; $a$; x', ['do $a$ $$; $b$; $a$'], 'x'],
  ['select a$b$; select $1; x', ['select a$b$', 'select $1'], 'x'],
  ['select 1 -- ; no\n; x', ['select 1 -- ; no'], 'x'],
  ['select /* ; /* ; */ ; */ 1; x', ['select /* ; /* ; */ ; */ 1'], 'x'],
  ['create rule r as (a; b); x', ['create rule r as (a; b)'], 'x'],
  [
    'create function f() returns int begin atomic select 1; select case when true then 2 end; end; x',
    ['create function f() returns int begin atomic select 1; select case when true then 2 end; end'],
    'x',
  ],
  [
    '/* a */ Create Or Replace Procedure p() BEGIN ATOMIC SELECT 1; END; x',
    ['/* a */ Create Or Replace Procedure p() BEGIN ATOMIC SELECT 1; END'],
    'x',
  ],
  ['begin; select 1; end; x', ['begin', 'select 1', 'end'], 'x'],
  ['create function a$begin() language c; x', ['create function a$begin() language c'], 'x'],
  ['-- only this\n', [], undefined],
  ['-- only this', [], undefined],
  ['/* this; */ ; -- and that', [], undefined],
  ['/* this */ select 1;', ['/* this */ select 1'], undefined],
])('%j', (text, statements, rest) => {
  expect(split(text)).toEqual({ statements, rest });
});

test('line by line it comes to the same', () => {
  const text = "select 'a;\n''b;', $$ ;\n; $$ /* ;\n/* ; */\n; */ -- ;\n, e'\\\n;'; select 2;\nselect\n3;\n";
  const splitter = new StatementSplitter();
  const statements = text.split(/(?<=\n)/).flatMap((line) => splitter.add(line));
  expect(statements).toEqual(split(text).statements);
  expect(statements).toHaveLength(3);
  expect(splitter.hasBegun).toBe(false);
});

test('what was begun can be thrown away', () => {
  const splitter = new StatementSplitter();
  expect(splitter.add("select 'never ended;\n")).toEqual([]);
  expect(splitter.hasBegun).toBe(true);
  splitter.clear();
  expect(splitter.add('select 1;')).toEqual(['select 1']);
});

test('a COPY from or to the client is known', () => {
  expect(isClientCopy('-- all\ncopy t (a, b)\n from STDIN with (format csv)')).toBe(true);
  expect(isClientCopy('COPY (select 1) TO STDOUT')).toBe(true);
  expect(isClientCopy("COPY t FROM '/tmp/file'")).toBe(false);
  expect(isClientCopy("select 'copy t from stdin'")).toBe(false);
});
