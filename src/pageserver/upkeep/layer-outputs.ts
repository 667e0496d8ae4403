import { AssertionError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { Compression } from '../layers/format/block-frame.ts';
import { LayerWriter } from '../layers/format/layer-writer.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import type { LayerInput } from './layer-inputs.ts';

/** Where the layers that a job makes go, and what they are to be like. Plain data. */
export interface OutputTarget {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly postgresMajor: number;
  readonly directory: string;
  /** Nobody else in the directory uses names that begin with it. */
  readonly temporaryName: string;
  readonly generation: number;
  readonly compression: Compression;
  /** A layer is ended at the first key after it has grown to this. */
  readonly targetBytes: number;
}

/** What all layers of a job have in common. */
export interface OutputShape {
  readonly kind: LayerDescription['kind'];
  readonly lsnStart: Lsn;
  /** Exclusive. */
  readonly lsnEnd: Lsn;
  /** None of these, which the index may name, may be written anew. */
  readonly inputs: readonly LayerInput[];
}

/** The layers that a job makes, one after another. If the job fails, none of them is left. */
export class LayerOutputs implements AsyncDisposable {
  readonly #files: Files;
  readonly #target: OutputTarget;
  readonly #shape: Omit<OutputShape, 'inputs'>;
  readonly #taken: ReadonlySet<string>;
  readonly #layers: LayerDescription[] = [];
  #writer: LayerWriter | undefined;
  #isKept = false;

  constructor(files: Files, target: OutputTarget, { inputs, ...shape }: OutputShape) {
    this.#files = files;
    this.#target = target;
    this.#shape = shape;
    this.#taken = new Set(inputs.map(({ path }) => path));
  }

  /** The layer that is being written, if one is. */
  get writer(): LayerWriter | undefined {
    return this.#writer;
  }

  /** The layer that is being written has grown large enough. */
  get isLargeEnough(): boolean {
    return this.#writer !== undefined && this.#writer.estimatedBytes >= this.#target.targetBytes;
  }

  /** Begins a layer. */
  async begin(): Promise<LayerWriter> {
    if (this.#writer !== undefined)
      throw new AssertionError('a layer is begun before the last one has ended');
    const { temporaryName, targetBytes: _, ...owner } = this.#target;
    this.#writer = await LayerWriter.create({
      ...owner,
      ...this.#shape,
      files: this.#files,
      temporaryName: `${temporaryName}-${this.#layers.length}`,
    });
    return this.#writer;
  }

  /** Whether a layer over these keys would have the name of an input. */
  isTaken(keys: KeyRange): boolean {
    const name = formatLayerFileName({ ...this.#shape, keys, generation: this.#target.generation });
    return this.#taken.has(`${this.#target.directory}/${name}`);
  }

  /** Ends the layer that is being written: its file is whole then, and has its name. */
  async end(keys: KeyRange): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) throw new AssertionError('there is no layer to end');
    if (this.isTaken(keys)) throw new AssertionError('a job would write one of its inputs anew');
    this.#writer = undefined;
    this.#layers.push(await writer.finish(keys));
  }

  /** The job has done its work: the layers stay. */
  keep(): LayerDescription[] {
    if (this.#writer !== undefined) throw new AssertionError('a layer has not been ended');
    this.#isKept = true;
    return this.#layers;
  }

  /** What cannot be removed is removed when the tenant is next loaded: the error that ended the job says what is wrong. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.[Symbol.asyncDispose]();
    this.#writer = undefined;
    if (this.#isKept) return;
    for (const layer of this.#layers.splice(0)) {
      try {
        await this.#files.remove(`${this.#target.directory}/${formatLayerFileName(layer)}`);
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      }
    }
  }
}
