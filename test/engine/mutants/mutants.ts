import type { Mutant } from '../../support/mutants.ts';

const one = (name: string, seedsMax: number, file: string, search: string, replacement: string): Mutant => ({
  name,
  seedsMax,
  edits: [{ file, search, replacement }],
});

const WAL_READER = 'postgres/wal/wal-reader.ts';
const BEFORE_FLUSH = 'const written = await this.doors.workers.run(';
const TIMELINE = 'pageserver/timeline/timeline.ts';
const MEMORY_LAYERS = 'pageserver/timeline/memory-layers.ts';

/**
 * A record that is applied twice is not among them: replay passes over what a page's LSN says is there, so nobody could
 * see it.
 */
export const MUTANTS: readonly Mutant[] = [
  one(
    'an upload is scheduled after the step that makes the layer visible',
    20,
    TIMELINE,
    'this.remote.scheduleLayerUpload(added, added.path);',
    'void Promise.resolve().then(() => this.remote.scheduleLayerUpload(added, added.path));',
  ),
  one(
    'garbage collection forgets branch points',
    20,
    'pageserver/timeline/upkeep-loop.ts',
    'branchPoints: this.#branchPoints(),',
    'branchPoints: [],',
  ),
  one(
    'garbage collection forgets leases',
    150,
    'pageserver/timeline/upkeep-loop.ts',
    'leases: this.#leases,',
    'leases: [],',
  ),
  one(
    'an image layer is one LSN off',
    20,
    'pageserver/timeline/upkeep.ts',
    'findVisibleLayers(timeline, keys, lsn)',
    'findVisibleLayers(timeline, keys, lsn - 1)',
  ),
  one(
    'a gap is not filled with zeros from its first block on',
    20,
    'pageserver/ingest/zero-pages.ts',
    'let block = this.#next;',
    'let block = this.#next + 1;',
  ),
  one(
    'the visibility of the block beside is cleared',
    20,
    'pageserver/layers/visibility-clears.ts',
    'clearVisibility(page, heapBlock, bits);',
    'clearVisibility(page, heapBlock ^ 1, bits);',
  ),
  one(
    'a block whose visibility is cleared stays frozen',
    20,
    'pageserver/layers/visibility-clears.ts',
    'clearVisibility(page, heapBlock, bits);',
    'clearVisibility(page, heapBlock, bits & 1);',
  ),
  one(
    'a layer is not synced before it gets its name',
    60,
    'pageserver/layers/format/layer-writer.ts',
    'await this.#file.sync();',
    '',
  ),
  one(
    'a layer that is fetched is not synced',
    400,
    'pageserver/remote/layer-transfer.ts',
    'await file.sync();',
    '',
  ),
  one(
    'the disk-consistent LSN rises before the layer is written',
    20,
    MEMORY_LAYERS,
    BEFORE_FLUSH,
    `this.#timeline.remote.scheduleIndexUpdate({ diskConsistentLsn: (layer.lsnEnd - 1) as Lsn, previousRecordLsn });
    ${BEFORE_FLUSH}`,
  ),
  one(
    'an index is put before the layers that it names',
    20,
    'pageserver/remote/upload-plan.ts',
    'planned.missing++;',
    '',
  ),
  one(
    'a flush loses the last value',
    20,
    'pageserver/layers/flush-open-layer.ts',
    'entry < batch.count; entry++',
    'entry < batch.count - 1; entry++',
  ),
  one(
    'a layer is frozen one LSN too low',
    20,
    MEMORY_LAYERS,
    'layer.freeze((this.#lastStoredLsn + 1) as Lsn);',
    'layer.freeze(this.#lastStoredLsn as Lsn);',
  ),
  one(
    'a compaction loses the first value behind a cut',
    30,
    'pageserver/upkeep/compact-deltas.ts',
    'if (outputs.isLargeEnough) await outputs.end({ start: first, end: nextKey(last) });',
    'if (outputs.isLargeEnough) { await outputs.end({ start: first, end: nextKey(last) }); continue; }',
  ),
  one(
    'a branch sees what its parent did later',
    20,
    'pageserver/read/collect-values.ts',
    'end = Math.min(end, lastLsnBeside(at.ancestor.lsn) + 1);',
    '',
  ),
  one(
    'a page of the cache counts as newer than it is',
    20,
    'pageserver/read/page-reader.ts',
    'const knownLsn = pages.lsnTo(slot);',
    'const knownLsn = pages.lsnTo(slot) + 64;',
  ),
  one(
    'a scan shows what was dropped',
    20,
    'pageserver/read/scan-keys.ts',
    '.filter((value) => value.bytes.length > 0)',
    '',
  ),
  one(
    'a frozen layer is not read any more before it is a file',
    20,
    MEMORY_LAYERS,
    BEFORE_FLUSH,
    `this.layers = this.layers.filter((other) => other !== layer);
    ${BEFORE_FLUSH}`,
  ),
  one(
    'the open layer is read after those that were frozen',
    200,
    MEMORY_LAYERS,
    'this.layers = [layer, ...this.layers];',
    'this.layers = [...this.layers, layer];',
  ),
  one(
    'a restart takes a cut file for a layer',
    60,
    'pageserver/remote/reconcile-local.ts',
    'if (layer?.sizeBytes === sizeBytes) {',
    'if (layer !== undefined) {',
  ),
  one(
    'the cutoff is back where it was after a restart',
    20,
    TIMELINE,
    'this.remote.scheduleIndexUpdate({ gcCutoffLsn: this.#gcCutoffLsn, leasedLsns });',
    '',
  ),
  one(
    'the cutoff looks at time only',
    60,
    'pageserver/upkeep/gc-cutoff.ts',
    'Math.min(byAge, bySize, remoteConsistentVisible)',
    'Math.min(byAge, remoteConsistentVisible)',
  ),
  one(
    'the last block of a fork counts as cut off',
    20,
    'pageserver/upkeep/liveness.ts',
    'return key.getUint32(keyOffset + STEM_BYTES) < (',
    'return key.getUint32(keyOffset + STEM_BYTES) + 1 < (',
  ),
  one(
    'history is rewritten without what is promised below the cutoff',
    20,
    'pageserver/upkeep/keep-versions.ts',
    'of [...retainedLsns, cutoff]) {',
    'of [cutoff]) {',
  ),
  one(
    'an image layer makes itself superfluous',
    20,
    'pageserver/upkeep/pick-garbage.ts',
    'layer.lsnEnd - 1 : layer.lsnStart + 1;',
    'layer.lsnEnd - 1 : layer.lsnStart;',
  ),
  one(
    'images are made while an ancestor has values in memory only',
    150,
    'pageserver/timeline/upkeep.ts',
    'if (parent === undefined || !isWritten(parent, at.ancestor.lsn)) return false;',
    'if (parent === undefined) return false;',
  ),
  one(
    'the records of a parent count again where a branch’s list has them',
    60,
    'pageserver/timeline/records-up-to.ts',
    '({ endLsn }) => endLsn > lower && endLsn <= Math.min(lsn, upper)',
    '({ endLsn }) => endLsn <= Math.min(lsn, upper)',
  ),
  one(
    'a batch may begin at no multiple of eight',
    200,
    WAL_READER,
    'this.#walk = padding > 0 ? DATA_START + 8 : DATA_START;\n    this.#arenaEnd = padding > 0 ? this.#walk - padding : DATA_START;',
    'this.#arenaEnd = DATA_START;\n    this.#walk = DATA_START + (padding > 0 ? padding : 0);',
  ),
];
