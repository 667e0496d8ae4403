import { appendFileSync, closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BoundedOutput, earlierOutputPath } from './bounded-output.ts';

const BYTES_MAX = 10_000;
const POLL = { timeout: 10_000, interval: 5 };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-output-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

test('a program goes on at the beginning of its file when that has become too long, and no line is lost', async () => {
  const path = join(directory, 'log');
  const output = openSync(path, 'a');
  const bounded = new BoundedOutput(path, BYTES_MAX, 5);
  let written = 0;
  const write = (lines: number): void => {
    for (const end = written + lines; written < end; written++) writeSync(output, `line ${written}\n`);
  };
  const sizes = (): number => readFileSync(path).length;
  for (let round = 0; round < 3; round++) {
    write(2000);
    await expect.poll(sizes, POLL).toBe(0);
    const earlier = readFileSync(earlierOutputPath(path), 'utf8');
    expect(earlier.length).toBeLessThanOrEqual(BYTES_MAX);
    expect(earlier.endsWith(`line ${written - 1}\n`)).toBe(true);
    write(10);
    expect(readFileSync(path, 'utf8').startsWith(`line ${written - 10}\n`)).toBe(true);
  }
  bounded.close();
  closeSync(output);
});

test('a file that is short, or gone, is left alone', async () => {
  const path = join(directory, 'short');
  using _bounded = Object.assign(new BoundedOutput(path, BYTES_MAX, 1), {
    [Symbol.dispose](this: BoundedOutput) {
      this.close();
    },
  });
  appendFileSync(path, 'x'.repeat(BYTES_MAX));
  const other = join(directory, 'other');
  const long = new BoundedOutput(other, BYTES_MAX, 1);
  appendFileSync(other, 'x'.repeat(BYTES_MAX + 1));
  await expect.poll(() => readFileSync(other).length, POLL).toBe(0);
  long.close();
  expect(readFileSync(path).length).toBe(BYTES_MAX);
  await rm(path);
});
