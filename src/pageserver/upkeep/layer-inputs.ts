import type { Lsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import { LayerCursor } from '../layers/format/layer-cursor.ts';
import type { LayerIdentity } from '../layers/format/layer-header.ts';
import type { MergeInput } from './merge-layers.ts';

/** A layer file that a job reads. Plain data. */
export interface LayerInput {
  readonly path: string;
  /** What the file must be. */
  readonly layer: LayerIdentity;
  /** Only its values from this LSN on count. */
  readonly lsnStart: Lsn;
  /** Exclusive. Of an ancestor's layer, values above the branch point do not count. */
  readonly lsnEnd: Lsn;
}

/** The layers that a job reads, open. */
export class LayerInputs implements AsyncDisposable {
  readonly merged: readonly MergeInput[];
  readonly #cursors: readonly LayerCursor[];

  /** @throws what opening fails of. None is open then */
  static async open(
    inputs: readonly LayerInput[],
    keys: KeyRange,
    doors: { readonly files: Files; readonly signal: AbortSignal },
  ): Promise<LayerInputs> {
    await using opened = new AsyncDisposableStack();
    const cursors: LayerCursor[] = [];
    for (const { path, layer } of inputs) {
      const cursor = await LayerCursor.open(doors.files, path, layer, { keys, signal: doors.signal });
      cursors.push(opened.use(cursor));
    }
    opened.move();
    return new LayerInputs(inputs, cursors);
  }

  private constructor(inputs: readonly LayerInput[], cursors: readonly LayerCursor[]) {
    this.#cursors = cursors;
    this.merged = inputs.map(({ path, layer, lsnStart, lsnEnd }, index) => ({
      kind: layer.description.kind,
      name: path,
      values: cursors[index] as LayerCursor,
      lsnStart,
      lsnEnd,
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cursor of this.#cursors) await cursor[Symbol.asyncDispose]();
  }
}
