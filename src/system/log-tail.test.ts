import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { nodeFiles } from '../io/node/files.ts';
import { LogFile } from '../io/node/log-file.ts';
import { LogTail } from './log-tail.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-tail-'));
afterAll(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string): void => appendFileSync(join(directory, name), text);

test('the last lines first, then what comes, whole lines only, of logs that are begun later, too', async () => {
  write('a.log', 'one\ntwo\nthree\nfo');
  write('other.txt', 'no log\n');
  const tail = await LogTail.open(nodeFiles, directory, undefined, 2);
  expect(tail.last).toEqual([
    { service: 'a', line: 'two' },
    { service: 'a', line: 'three' },
  ]);
  expect(await tail.read()).toEqual([]);
  write('a.log', 'ur\nfive\n');
  write('b.log', 'ä\n');
  expect(await tail.read()).toEqual([
    { service: 'a', line: 'four' },
    { service: 'a', line: 'five' },
    { service: 'b', line: 'ä' },
  ]);
  const only = await LogTail.open(nodeFiles, directory, 'b', 9);
  write('a.log', 'six\n');
  write('b.log', 'c\n');
  expect(only.last).toEqual([{ service: 'b', line: 'ä' }]);
  expect(await only.read()).toEqual([{ service: 'b', line: 'c' }]);
});

test('no line is missed or told twice when a log is begun anew', async () => {
  using log = new LogFile(join(directory, 'turning.log'), 1000);
  const tail = await LogTail.open(nodeFiles, directory, 'turning', 5);
  const seen: string[] = [];
  const expected = Array.from({ length: 400 }, (_, index) => `line ${index}`);
  for (const [index, line] of expected.entries()) {
    log.write(`${line}\n`);
    // It is read now and then, some lines before it turns and some after.
    if (index % 7 === 0) seen.push(...(await tail.read()).map((each) => each.line));
  }
  seen.push(...(await tail.read()).map((each) => each.line));
  expect(seen).toEqual(expected);
});
