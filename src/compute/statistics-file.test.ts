import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { nodeFiles } from '../io/node/files.ts';
import { packStatistics, unpackStatistics } from './statistics-file.ts';

let data: string;

beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'varve-statistics-'));
  mkdirSync(join(data, 'pg_stat'));
});

afterEach(() => rmSync(data, { recursive: true }));

const unpacked = (): string => join(data, 'pg_stat/pgstat.stat');
const packed = (): string => join(data, 'pg_stat/pgstat.stat.zst');

test('what is packed is unpacked, and what is not there is not', async () => {
  expect(await packStatistics(nodeFiles, data)).toBeUndefined();
  await unpackStatistics(nodeFiles, data);
  const statistics = Buffer.alloc(3_000_000, 'a table of the database, ');
  writeFileSync(unpacked(), statistics);
  const content = (await packStatistics(nodeFiles, data)) as Uint8Array;
  expect(content.length).toBeLessThan(10_000);
  rmSync(unpacked());
  writeFileSync(packed(), content);
  await unpackStatistics(nodeFiles, data);
  expect(readFileSync(unpacked()).equals(statistics)).toBe(true);
  expect(existsSync(packed())).toBe(false);
});

test.each([
  ['damaged', Uint8Array.of(1, 2, 3)],
  ['empty', new Uint8Array(0)],
  ['far too long', zstdCompressSync(new Uint8Array(64 * 1024 * 1024 + 1))],
])('statistics that are %s are none', async (_, content) => {
  writeFileSync(packed(), content);
  await unpackStatistics(nodeFiles, data);
  expect(existsSync(unpacked())).toBe(false);
  expect(existsSync(packed())).toBe(false);
});

test('statistics that are too long are not packed', async () => {
  writeFileSync(unpacked(), new Uint8Array(64 * 1024 * 1024 + 1));
  await expect(packStatistics(nodeFiles, data)).rejects.toMatchObject({ code: 'STATISTICS_TOO_LARGE' });
});
