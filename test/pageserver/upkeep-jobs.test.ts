import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { toLsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { NodeWorkers, type WorkersOptions } from '../../src/io/node/workers.ts';
import { TEMPORARY_SUFFIX } from '../../src/io/replace-file.ts';
import { PAGESERVER_JOBS, type PageserverJobs } from '../../src/pageserver/jobs.ts';
import { ALL_KEYS } from '../../src/pageserver/keyspace/key-range.ts';
import { relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { formatLayerFileName } from '../../src/pageserver/layers/layer-name.ts';
import type { LayerInput } from '../../src/pageserver/upkeep/layer-inputs.ts';
import { makeLiveness } from '../../src/pageserver/upkeep/liveness.ts';
import { imageRecord, patchRecord, relation } from '../support/key-histories.ts';
import { type LayerValue, writeLayer } from '../support/layer-samples.ts';
import { targetOf } from '../support/upkeep-world.ts';
import { runVarveJson } from '../support/varve-command.ts';

const never = new AbortController().signal;
const BLOCKS = 2000;
const block = (number: number) => relationBlockKey(relation(0), 0, number);
const liveness = makeLiveness([{ firstKey: block(0), blocks: BLOCKS }]);
let directory: string;
let workers: NodeWorkers<PageserverJobs> | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-upkeep-'));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => workers?.close());

function open(options: Partial<WorkersOptions> = {}): NodeWorkers<PageserverJobs> {
  workers = new NodeWorkers({
    jobsModule: PAGESERVER_JOBS,
    filesEngine: 'portable',
    threadsMax: 1,
    ...options,
  });
  return workers;
}

const target = () => ({ ...targetOf(4 * 1024 * 1024), directory });

async function write(values: readonly LayerValue[], start: number, end: number): Promise<LayerInput> {
  const lsns = { lsnStart: toLsn(start), lsnEnd: toLsn(end) };
  const layer = await writeLayer(nodeFiles, directory, values, {
    kind: 'delta',
    ...lsns,
    compression: 'none',
  });
  return { path: `${directory}/${formatLayerFileName(layer.description)}`, layer, ...lsns };
}

/** Two level-0 layers with two versions of each block. */
async function writeVersions(): Promise<LayerInput[]> {
  const layers: LayerInput[] = [];
  for (let layer = 0; layer < 2; layer++) {
    const start = 0x1000 + layer * 0x1000;
    const values: LayerValue[] = [];
    const image = imageRecord(block(0), start, layer + 1);
    for (let number = 0; number < BLOCKS; number++)
      values.push({ ...image, key: block(number), lsn: start + number });
    layers.push(await write(values, start, start + 0x1000));
  }
  return layers;
}

/** Resolves when a job has begun to write a layer. */
async function untilWriting(running: Promise<unknown>): Promise<void> {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  running.then(end, end);
  while (!(await readdir(directory)).some((name) => name.endsWith(TEMPORARY_SUFFIX))) {
    if (isOver) throw new Error('the job is over');
  }
}

test('the event loop goes on while a worker compacts', async () => {
  const layers = await writeVersions();
  open();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const made = await workers!.run('compactDeltas', { layers, target: target() }, never);
  delay.disable();
  expect(made.length).toBeGreaterThan(3);
  expect(delay.percentile(90) / 1e6).toBeLessThan(10);
  for (const layer of made) await nodeFiles.remove(`${directory}/${formatLayerFileName(layer)}`);
});

test('WR-04: a compaction that is cancelled, or whose thread dies, leaves its inputs and no half layer; the next one succeeds', async () => {
  const layers = await writeVersions();
  const before = await readdir(directory);
  open({ graceMs: 60_000 });
  const input = { layers, target: target() };
  const cancellation = new AbortController();
  const running = workers!.run('compactDeltas', input, cancellation.signal);
  await untilWriting(running);
  cancellation.abort();
  await expect(running).rejects.toMatchObject({ kind: 'cancelled', code: 'CANCELLED' });
  expect(await readdir(directory)).toEqual(before);
  await workers!.close();
  // Here the thread is ended at once, wherever it is.
  const abrupt = open({ graceMs: 0 });
  const again = new AbortController();
  const dying = abrupt.run('compactDeltas', input, again.signal);
  await untilWriting(dying);
  again.abort();
  await expect(dying).rejects.toMatchObject({ kind: 'cancelled' });
  expect(await readdir(directory)).toEqual(expect.arrayContaining(before));
  const made = await abrupt.run('compactDeltas', input, never);
  const names = [...before, ...made.map(formatLayerFileName)].sort();
  expect((await readdir(directory)).sort()).toEqual(names);
});

test('WR-03: a failing redo leaves a case that the command line replays to the same failure', async () => {
  const values = [
    imageRecord(block(0), 0x9000, 1),
    patchRecord(block(0), 0x9010, 200, Uint8Array.of(5)),
    patchRecord(block(0), 0x9020, 9000, Uint8Array.of(6)),
  ];
  const layers = [await write(values, 0x9000, 0xa000)];
  const failureDirectory = join(directory, 'failures');
  await nodeFiles.makeDirectory(failureDirectory);
  const { failedKeys } = await open().run(
    'makeImages',
    { layers, keys: ALL_KEYS, lsn: toLsn(0x9fff), liveness, target: target(), failureDirectory },
    never,
  );
  expect(failedKeys.map(({ key }) => key)).toEqual([block(0)]);
  const [name, ...others] = await readdir(failureDirectory);
  expect(others).toEqual([]);
  const {
    code,
    values: steps,
    error,
  } = await runVarveJson('wal', 'redo-file', join(failureDirectory, name!));
  expect(code).toBe(8);
  const reason = failedKeys[0]!.error.cause!.varve!.reason;
  expect(reason).toContain('a fragment of 1 bytes at 9000 leaves the page');
  expect(JSON.stringify(error)).toContain(reason);
  expect(JSON.stringify(steps)).toContain('0/9020');
});
