import { describe, expect, test } from 'vitest';
import { splitStatements } from './sql-splitter.ts';

describe('splitStatements', () => {
  test.each<[string, string, string[]]>([
    ['nothing', ' \n-- only a comment;\n/* and ; another */ ;; ', []],
    ['comments before a statement', '-- a\n/* b */ SELECT 1 -- c\n; /* d */', ['SELECT 1 -- c']],
    ['plain statements', 'SELECT 1; SELECT 2 ;\nSELECT 3', ['SELECT 1', 'SELECT 2', 'SELECT 3']],
    ['strings', "SELECT 'a;''b;'; SELECT ''; X", ["SELECT 'a;''b;'", "SELECT ''", 'X']],
    ['a backslash in a standard string', "SELECT 'a\\'; X", ["SELECT 'a\\'", 'X']],
    ['a backslash in an escape string', "SELECT E'a\\';b', e''';'; X", ["SELECT E'a\\';b', e''';'", 'X']],
    ['a name that ends in e', "SELECT name'a\\'; X", ["SELECT name'a\\'", 'X']],
    ['quoted names', 'SELECT "a;""b;"; X', ['SELECT "a;""b;"', 'X']],
    [
      'dollar quotes',
      'DO $$ a; $b$ ; $$; DO $b$ $$;$$ ; $b$; X',
      ['DO $$ a; $b$ ; $$', 'DO $b$ $$;$$ ; $b$', 'X'],
    ],
    ['dollars that open nothing', 'SELECT $1; SELECT a$b$; X', ['SELECT $1', 'SELECT a$b$', 'X']],
    ['line comments', "SELECT 1 -- a; b ' $$\n; X", ["SELECT 1 -- a; b ' $$", 'X']],
    ['nested comments', 'SELECT /* ; /* ; */ ; */ 1; X', ['SELECT /* ; /* ; */ ; */ 1', 'X']],
    [
      'parentheses',
      'CREATE RULE r AS ON INSERT TO t DO (a; b); X',
      ['CREATE RULE r AS ON INSERT TO t DO (a; b)', 'X'],
    ],
    ['what is never closed', "SELECT 1; SELECT 'a; b", ['SELECT 1', "SELECT 'a; b"]],
  ])('%s', (_, script, expected) => {
    expect(splitStatements(script)).toEqual(expected);
  });
});
