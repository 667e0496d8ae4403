import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listFiles, REPOSITORY_ROOT, readText } from '../../tools/source-files.ts';

/** What reads or writes layers and objects: a call, but for its end, and what has to come there. */
const CALLS: readonly (readonly [begin: string, end: string])[] = [
  ['reads.at(lsn', ', context)'],
  ['reads.page(relation, 0, 0, lsn, page', ', context)'],
  ['reads.pages([]', ', context)'],
  ['reads.relationSize(relation, 0, lsn', ', context)'],
  ['reads.relationExists(relation, 0, lsn', ', context)'],
  ['reads.databaseSize(1663, 5, lsn', ', context)'],
  ['reads.logicalSize(lsn', ', context)'],
  ["reads.slruSegment('clog', 0, lsn", ', context)'],
  ['reads.value(key, lsn', ', context)'],
  ['reads.scan(range, lsn', ', context)'],
  ['reads.auxiliaryFiles(lsn', ', context)'],
  ['reads.lsnByTimestamp(0n', ', context)'],
  ['reads.timestampOfLsn(lsn', ', context)'],
  ['reads.recordBefore(lsn', ', context)'],
  ['new TimelineReader(timeline, timeline.pageReader', ', context)'],
  ['layer.scan(range', ', context)'],
  ['blocks.load([0]', ', context)'],
  ['blocks.peek(0', ', context)'],
  ["objects.get('key'", ', { signal })'],
  ["objects.getStream('key'", ', { signal })'],
  ["objects.head('key'", ', signal)'],
  ["objects.list(''", ', signal)'],
  ["objects.put('key', new Uint8Array(1)", ', { signal })'],
  ["objects.remove(['key']", ', signal)'],
  ['remote.downloadLayer(indexLayer, path', ', signal)'],
];
/** On nobody's behalf, or without an end. */
const BAD_ENDS = [
  ')',
  ', undefined)',
  ', {})',
  ", { task: 'administration' })",
  ", { task: 'unknown', signal })",
];

const WRONG = CALLS.flatMap(([begin]) => BAD_ENDS.map((end) => begin + end));
const RIGHT = CALLS.map(([begin, end]) => begin + end);
// With what goes on nobody's behalf, objects only need a signal.
const isWrong = (call: string): boolean => !/^objects\.(get|getStream|put)\(.*'unknown', signal/.test(call);

const source = (wrong: readonly string[], right: readonly string[]): string => `
import type { Lsn } from '${REPOSITORY_ROOT}src/base/lsn.ts';
import type { ObjectStore } from '${REPOSITORY_ROOT}src/io/objects.ts';
import type { Key } from '${REPOSITORY_ROOT}src/pageserver/keyspace/key.ts';
import type { KeyRange } from '${REPOSITORY_ROOT}src/pageserver/keyspace/key-range.ts';
import type { BlockFile } from '${REPOSITORY_ROOT}src/pageserver/layers/blocks.ts';
import type { ReadContext } from '${REPOSITORY_ROOT}src/pageserver/layers/read-context.ts';
import { TimelineReader } from '${REPOSITORY_ROOT}src/pageserver/read/timeline-reader.ts';
import type { RemoteTimeline } from '${REPOSITORY_ROOT}src/pageserver/remote/remote-timeline.ts';
import type { IndexLayer } from '${REPOSITORY_ROOT}src/pageserver/remote/timeline-index.ts';
import type { Timeline } from '${REPOSITORY_ROOT}src/pageserver/timeline/timeline.ts';
import type { TimelineLayer } from '${REPOSITORY_ROOT}src/pageserver/timeline/timeline-layer.ts';
import type { TimelineReads } from '${REPOSITORY_ROOT}src/pageserver/timeline/timeline-reads.ts';
import type { Page } from '${REPOSITORY_ROOT}src/postgres/page/page.ts';
declare const reads: TimelineReads, timeline: Timeline, layer: TimelineLayer, blocks: BlockFile, objects: ObjectStore;
declare const remote: RemoteTimeline, indexLayer: IndexLayer, path: string, lsn: Lsn, page: Page, key: Key;
declare const range: KeyRange, signal: AbortSignal, context: ReadContext, relation: Parameters<TimelineReads['page']>[0];
export const used = [reads, timeline, layer, blocks, objects, remote, indexLayer, path, lsn, page, key, range, signal, context, relation, TimelineReader];
${wrong.map((call, index) => `export const wrong${index} = ${call};`).join('\n')}
${right.map((call, index) => `export const right${index} = ${call};`).join('\n')}
`;

/** Numbers of lines with something that does not type-check. */
async function findFaults(text: string): Promise<ReadonlySet<number>> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-contexts-'));
  try {
    await writeFile(join(directory, 'planted.ts'), text);
    await writeFile(join(directory, 'package.json'), JSON.stringify({ type: 'module' }));
    const compilerOptions = { typeRoots: [`${REPOSITORY_ROOT}node_modules/@types`] };
    const config = {
      extends: `${REPOSITORY_ROOT}tsconfig.json`,
      compilerOptions,
      include: ['planted.ts', `${REPOSITORY_ROOT}types`],
    };
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(config));
    const output = await new Promise<string>((resolve) => {
      const program = `${REPOSITORY_ROOT}node_modules/.bin/tsc`;
      execFile(program, ['--project', directory, '--pretty', 'false'], (_, stdout) => resolve(stdout));
    });
    const places = [...output.matchAll(/planted\.ts\((\d+),\d+\): error/g)];
    const elsewhere = output.split('\n').filter((line) => /error TS/.test(line) && !/planted\.ts/.test(line));
    expect(elsewhere).toEqual([]);
    return new Set(places.map(([, line]) => Number(line)));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

test('PC-03: nothing of a layer or an object can be asked for without saying on whose behalf, and until when', async () => {
  const text = source(WRONG.filter(isWrong), RIGHT);
  const faults = await findFaults(text);
  const lines = text.split('\n');
  const isPlanted = (line: string): boolean => /^export const wrong\d/.test(line);
  expect(lines.filter(isPlanted).length).toBeGreaterThan(100);
  expect(lines.filter((line, index) => isPlanted(line) !== faults.has(index + 1))).toEqual([]);
}, 120_000);

/** A context that nobody has to give, or that is made up where a read happens. */
const HIDDEN = [
  /\w+\?: ReadContext\b/,
  /: ReadContext = (?!\{ task: '[a-z-]+', signal\b|\{ task: '[a-z-]+', signal: )/,
  /as (unknown as )?ReadContext\b/,
];

const hiddenIn = (text: string): string[] =>
  text.split('\n').filter((line) => HIDDEN.some((pattern) => pattern.test(line)));

test('PC-03: no context is hidden in a default, and one that is, is found', () => {
  const sources = listFiles('src/pageserver').filter(
    (path) => /\.ts$/.test(path) && !/\.test\.ts$/.test(path),
  );
  expect(sources.length).toBeGreaterThan(100);
  expect(sources.flatMap((path) => hiddenIn(readText(path)))).toEqual([]);
  for (const planted of [
    'async read(lsn: Lsn, context?: ReadContext): Promise<void> {',
    'async read(lsn: Lsn, context: ReadContext = NOBODY): Promise<void> {',
    'return await this.read(lsn, {} as ReadContext);',
  ]) {
    expect(hiddenIn(planted)).toEqual([planted]);
  }
});
