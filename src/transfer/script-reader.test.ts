import { expect, test } from 'vitest';
import { ScriptReader } from './script-reader.ts';

async function* inPieces(text: string, length: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** Statements, each with the rows that follow it, if any may. */
async function readAll(text: string, length = text.length): Promise<string[]> {
  const reader = new ScriptReader(inPieces(text, length));
  const read: string[] = [];
  for (;;) {
    const statement = await reader.nextStatement();
    if (statement === undefined) return read;
    const rows: Uint8Array[] = [];
    for await (const part of reader.rows()) rows.push(part);
    read.push(rows.length === 0 ? statement : `${statement}|${Buffer.concat(rows)}`);
  }
}

const SCRIPT = [
  '-- PostgreSQL database dump',
  '',
  '\\restrict a1b2',
  '-- a; comment',
  "SELECT ';', E'\\';';",
  'COPY public."a;"" from stdin" (a) FROM stdin;',
  '\\N\tx',
  '\\\\.',
  'é \\.',
  '\\.',
  'COPY empty FROM stdin;',
  '\\.',
  'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC',
  ' SELECT 1; SELECT 2;',
  'END;',
  'SELECT 1; SELECT 2;',
  '\\unrestrict a1b2',
  '-- PostgreSQL database dump complete',
].join('\n');

test('however a script is cut, its statements and rows are the same', async () => {
  const expected = [
    "SELECT ';', E'\\';'",
    'COPY public."a;"" from stdin" (a) FROM stdin|\\N\tx\n\\\\.\né \\.\n',
    'COPY empty FROM stdin',
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\n SELECT 1; SELECT 2;\nEND',
    'SELECT 1',
    'SELECT 2',
  ];
  for (let length = 1; length < 40; length++) {
    expect(await readAll(SCRIPT, length)).toEqual(expected);
    expect(
      await readAll(SCRIPT.replaceAll('\n', '\r\n').replaceAll('\\N\tx\r', '\\N\tx'), length),
    ).toHaveLength(6);
  }
});

test('a script that is cut off, or is for psql, is refused', async () => {
  await expect(readAll(SCRIPT.slice(0, -9))).rejects.toMatchObject({ code: 'TRUNCATED_SCRIPT' });
  await expect(readAll('COPY t FROM stdin;\n1\n\\')).rejects.toMatchObject({ code: 'TRUNCATED_SCRIPT' });
  await expect(readAll('-- Varve export\nSELECT 1;\n')).rejects.toMatchObject({ code: 'TRUNCATED_SCRIPT' });
  await expect(readAll('\n\\i other.sql\n')).rejects.toMatchObject({
    code: 'PSQL_COMMAND',
    message: expect.stringMatching(/line 2: \\i /),
  });
  await expect(readAll('COPY t FROM stdin; SELECT 1;\n\\.\n')).rejects.toMatchObject({ code: 'BAD_SCRIPT' });
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(0x53, 0xff, 0x0a);
  };
  await expect(new ScriptReader(bytes()).nextStatement()).rejects.toMatchObject({ code: 'BAD_SCRIPT' });
});

test('the last statement needs no semicolon, and rows no line break', async () => {
  expect(await readAll('SELECT 1')).toEqual(['SELECT 1']);
  expect(await readAll('COPY t FROM stdin;\n1\n\\.')).toEqual(['COPY t FROM stdin|1\n']);
});
