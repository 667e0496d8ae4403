import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { formatLsn } from '../../src/base/lsn.ts';
import { spreadOf } from './measure.ts';
import type { Recording } from './recording.ts';
import { formatNumber } from './table.ts';

const REPEATS = 5;

/** `pg_waldump` on PATH if it is of the major version that wrote the WAL, else why there is none. */
function findWaldump(major: string): { path: string } | { reason: string } {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'pg_waldump'))
    .find((path) => existsSync(path));
  if (found === undefined) return { reason: 'it is not on PATH' };
  const version = spawnSync(found, ['--version'], { encoding: 'utf8' }).stdout.trim();
  if (!version.includes(` ${major}.`)) return { reason: `${found} is ${version}, the WAL is of ${major}` };
  return { path: found };
}

/** One line on how long `pg_waldump --stats` takes to read the same WAL, and how that compares with `ourMs`. */
export function describeWaldump(recording: Recording, ourMs: number): string {
  const waldump = findWaldump(recording.postgres.split('.')[0] as string);
  if ('reason' in waldump) return `${recording.name}: pg_waldump --stats skipped: ${waldump.reason}`;
  const range = ['--start', formatLsn(recording.startLsn), '--end', formatLsn(recording.endLsn)];
  const times: number[] = [];
  for (let run = 0; run < REPEATS; run++) {
    const startMs = performance.now();
    const result = spawnSync(waldump.path, ['--stats', '--path', recording.walDirectory, ...range], {
      encoding: 'utf8',
    });
    times.push(performance.now() - startMs);
    if (result.status !== 0) return `${recording.name}: pg_waldump --stats failed: ${result.stderr.trim()}`;
  }
  const medianMs = spreadOf(times).median;
  const rate = formatNumber((recording.endLsn - recording.startLsn) / 1e3 / medianMs);
  return `${recording.name}: pg_waldump --stats ${rate} MB/s; read + decode takes ${formatNumber(ourMs / medianMs)} of its time`;
}
