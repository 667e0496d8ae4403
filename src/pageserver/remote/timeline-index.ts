import { AssertionError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import type { TimelineName } from './object-keys.ts';

/** A layer as an index names it. */
export interface IndexLayer {
  /** Of keys and LSNs: `formatLayerName` in layer-name.ts. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Of who wrote it. Part of its object's key. */
  readonly generation: number;
}

/** Where a branch left the timeline that it came from. */
export interface Ancestor {
  readonly timelineId: TimelineId;
  /** The branch sees of the ancestor what is at or below. */
  readonly lsn: Lsn;
  /** Where the last record that ends at or below `lsn` begins: what the branch's first record links back to. */
  readonly recordStartLsn: Lsn;
}

/** The ancestor that a timeline once had, whose layers it has been given. */
export interface DetachedFrom {
  readonly timelineId: TimelineId;
  /** Where the timeline had left it. */
  readonly lsn: Lsn;
  /**
   * Where the history that it has been given changes from one former ancestor to the next, descending; `lsn` is the first.
   * Lists of records are whole as of each.
   */
  readonly edgeLsns: readonly Lsn[];
  /** Other branches of that ancestor, which began at or below `lsn`: they are to be branches of this timeline. */
  readonly branches: readonly TimelineId[];
  /** They are. Until then all history is kept. */
  readonly isComplete: boolean;
}

/** What there is to know of a timeline beside its layers. It says which WAL need not be read again. */
export interface IndexHead extends TimelineName {
  /** PostgreSQL's major version, such as 17. */
  readonly postgresMajor: number;
  readonly systemIdentifier: bigint;
  readonly walSegmentBytes: number;
  readonly hasDataChecksums: boolean;
  readonly ancestor: Ancestor | undefined;
  /** The LSN that the timeline begins with: nothing below can be asked for, except of the ancestor. */
  readonly initialLsn: Lsn;
  /** All WAL below is in the layers. */
  readonly diskConsistentLsn: Lsn;
  /** Where the last record below `diskConsistentLsn` begins. */
  readonly previousRecordLsn: Lsn;
  /** Pages below may have been removed. */
  readonly gcCutoffLsn: Lsn;
  /** Below the cutoff, these can be read all the same, since somebody has a lease of them. Ascending, none of them twice. */
  readonly leasedLsns: readonly Lsn[];
  /** Somebody wants it gone. Milliseconds since 1970-01-01 UTC. */
  readonly deletedAtMs: number | undefined;
  readonly archivedAtMs: number | undefined;
  /** Somebody wants all history to be kept. */
  readonly isGcBlocked: boolean;
  readonly detachedFrom: DetachedFrom | undefined;
}

/** The truth about a timeline: what is not in it does not count. */
export interface TimelineIndex {
  readonly head: IndexHead;
  /** By their names. */
  readonly layers: ReadonlyMap<string, IndexLayer>;
}

/** Why this cannot be the head of an index; undefined where it can. */
export function findHeadFault(head: IndexHead): string | undefined {
  const { diskConsistentLsn, initialLsn, gcCutoffLsn, previousRecordLsn, ancestor, leasedLsns } = head;
  if (initialLsn > diskConsistentLsn) return 'the initial LSN is above the disk-consistent LSN';
  if (gcCutoffLsn > diskConsistentLsn) return 'the GC cutoff is above the disk-consistent LSN';
  if (previousRecordLsn > diskConsistentLsn) return 'the previous record is above the disk-consistent LSN';
  if (leasedLsns.some((lsn) => lsn >= gcCutoffLsn)) return 'a leased LSN is not below the GC cutoff';
  if (leasedLsns.some((lsn, index) => index > 0 && lsn <= (leasedLsns[index - 1] as Lsn)))
    return 'the leased LSNs do not ascend';
  const { detachedFrom } = head;
  if (detachedFrom !== undefined) {
    if (ancestor !== undefined) return 'the timeline has an ancestor, and was detached from one';
    if (detachedFrom.timelineId === head.timelineId) return 'the timeline was detached from itself';
    if (detachedFrom.edgeLsns[0] !== detachedFrom.lsn) return 'the first edge is not where it was detached';
    if (detachedFrom.lsn > diskConsistentLsn)
      return 'the timeline was detached above its disk-consistent LSN';
  }
  if (ancestor === undefined) return undefined;
  if (ancestor.timelineId === head.timelineId) return 'the timeline is its own ancestor';
  if (ancestor.lsn > diskConsistentLsn) return 'the branch point is above the disk-consistent LSN';
  if (ancestor.recordStartLsn > ancestor.lsn)
    return 'the last record of the ancestor is above the branch point';
  return undefined;
}

export const toIndexLayer = (layer: LayerDescription): IndexLayer => ({
  name: formatLayerName(layer),
  sizeBytes: layer.sizeBytes,
  generation: layer.generation,
});

/** @throws BadRequestError where the name is none, which decoding has checked */
export function toLayerDescription({ name, sizeBytes, generation }: IndexLayer): LayerDescription {
  return { ...parseLayerName(name), generation, sizeBytes };
}

/** States what an index of ours must be. */
export function assertIndexHead(head: IndexHead): void {
  const fault = findHeadFault(head);
  if (fault !== undefined) throw new AssertionError(fault, { lsn: head.diskConsistentLsn });
}
