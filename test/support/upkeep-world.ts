import type { Files } from '../../src/io/files.ts';
import { InlineWorkers } from '../../src/io/inline-workers.ts';
import { jobs, type PageserverJobs } from '../../src/pageserver/jobs.ts';
import { ALL_KEYS } from '../../src/pageserver/keyspace/key-range.ts';
import { LayerCursor } from '../../src/pageserver/layers/format/layer-cursor.ts';
import { verifyLayer } from '../../src/pageserver/layers/format/verify-layer.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import { findLayerFile, formatLayerFileName } from '../../src/pageserver/layers/layer-name.ts';
import type { LayerInput } from '../../src/pageserver/upkeep/layer-inputs.ts';
import type { OutputTarget } from '../../src/pageserver/upkeep/layer-outputs.ts';
import { Kernel } from '../sim/kernel.ts';
import type { CrashMoment, SimNode } from '../sim/kernel-node.ts';
import type { ModelLayer } from './key-histories.ts';
import { OWNER, readCursor, writeLayer } from './layer-samples.ts';

export const DIRECTORY = '/layers';

/** Layer files on a simulated disk, and the jobs that work on them. */
export class UpkeepWorld {
  readonly kernel: Kernel;
  readonly node: SimNode;

  constructor(seed = 1) {
    this.kernel = new Kernel(seed);
    this.node = this.kernel.addNode('pageserver');
    this.node.disk.provideDirectory(DIRECTORY);
  }

  /** Does something on the node, which is started if it is not running. */
  async perform<Result>(
    action: (files: Files, workers: InlineWorkers<PageserverJobs>) => Promise<Result>,
  ): Promise<Result> {
    const incarnation = this.node.incarnation ?? this.node.start(() => undefined);
    const { files, clock } = incarnation.doors;
    return await this.kernel.perform(() => action(files, new InlineWorkers(jobs, { files, clock })));
  }

  /** Does something, and crashes the node at an effect of it, if it comes so far. */
  async crashDuring(
    effect: number,
    moment: CrashMoment,
    action: (workers: InlineWorkers<PageserverJobs>) => Promise<unknown>,
  ): Promise<void> {
    const incarnation = this.node.incarnation ?? this.node.start(() => undefined);
    const { files, clock } = incarnation.doors;
    this.node.crashAtEffect(effect, moment, { kind: effect % 2 === 0 ? 'power' : 'kill' });
    this.kernel.after(incarnation, 0, () => {
      const running = action(new InlineWorkers(jobs, { files, clock }));
      running.catch((error: unknown) => this.kernel.fail(error));
    });
    await this.kernel.run();
    this.node.plannedCrash = undefined;
  }

  get isAlive(): boolean {
    return this.node.isAlive;
  }

  async write(layers: readonly ModelLayer[], files: Files, generation = 1): Promise<LayerInput[]> {
    const inputs: LayerInput[] = [];
    for (const { values, ...shape } of layers) {
      const layer = await writeLayer(files, DIRECTORY, values, { ...shape, generation, blockBytes: 4096 });
      const { lsnStart, lsnEnd } = shape;
      inputs.push({ path: pathOf(layer.description), layer, lsnStart, lsnEnd });
    }
    return inputs;
  }

  async read(descriptions: readonly LayerDescription[], files: Files): Promise<ModelLayer[]> {
    const layers: ModelLayer[] = [];
    for (const description of descriptions) layers.push(await readLayerFile(files, description));
    return layers;
  }

  /** Names of the layers that are there. Each must be whole. */
  async verifyAll(files: Files): Promise<string[]> {
    const names = (await files.list(DIRECTORY)).filter((name) => findLayerFile(name) !== undefined);
    for (const name of names) await verifyLayer(files, `${DIRECTORY}/${name}`);
    return names;
  }
}

export const pathOf = (description: LayerDescription): string =>
  `${DIRECTORY}/${formatLayerFileName(description)}`;

async function readLayerFile(files: Files, description: LayerDescription): Promise<ModelLayer> {
  const path = pathOf(description);
  await verifyLayer(files, path, { ...OWNER, description });
  await using cursor = await LayerCursor.open(files, path, { ...OWNER, description }, { keys: ALL_KEYS });
  const { kind, keys, lsnStart, lsnEnd } = description;
  return { kind, keys, lsnStart, lsnEnd, values: await readCursor(cursor) };
}

export const targetOf = (targetBytes: number, generation = 2): OutputTarget => ({
  ...OWNER,
  postgresMajor: 17,
  directory: DIRECTORY,
  temporaryName: 'job',
  generation,
  compression: 'none',
  targetBytes,
});
