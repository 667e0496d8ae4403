/** What the records of btree indexes say, as typed values. */
import type { RelationLocator } from '../files/relation-locator.ts';

/** What a record says of the meta page. */
export interface BtreeMetadata {
  readonly version: number;
  readonly root: number;
  readonly level: number;
  readonly fastRoot: number;
  readonly fastLevel: number;
  readonly lastCleanupDeletedPages: number;
  readonly allEqualImage: boolean;
}

/** Undefined fields, here and below, are those of block data that a full-page image has made superfluous. */
export interface BtreeInsertBody {
  readonly kind: 'INSERT_LEAF' | 'INSERT_UPPER' | 'INSERT_META' | 'INSERT_POST';
  readonly offsetNumber: number;
  /** INSERT_POST: which entry of the posting list makes room. */
  readonly postingOffset: number | undefined;
  readonly tuple: Uint8Array | undefined;
  readonly metadata: BtreeMetadata | undefined;
}

export interface BtreeSplitBody {
  readonly kind: 'SPLIT_L' | 'SPLIT_R';
  readonly level: number;
  readonly firstRightOffset: number;
  readonly newItemOffset: number;
  readonly postingOffset: number;
  /** The new tuple, if the record has it, and the left page's high key. */
  readonly leftTuples: Uint8Array | undefined;
  /** The right page's tuples, last one first. */
  readonly rightTuples: Uint8Array | undefined;
}

export interface BtreeDedupBody {
  readonly kind: 'DEDUP';
  readonly intervalCount: number;
  readonly intervals: readonly { readonly baseOffset: number; readonly itemCount: number }[] | undefined;
}

/** A posting list that loses the entries with these indexes. */
export interface BtreeUpdate {
  readonly offsetNumber: number;
  readonly deletedTids: readonly number[];
}

export interface BtreeDeletions {
  readonly deletedCount: number;
  readonly updatedCount: number;
  readonly deleted: readonly number[] | undefined;
  readonly updated: readonly BtreeUpdate[] | undefined;
}

export interface BtreeVacuumBody extends BtreeDeletions {
  readonly kind: 'VACUUM';
}

export interface BtreeDeleteBody extends BtreeDeletions {
  readonly kind: 'DELETE';
  readonly snapshotConflictHorizon: number;
  readonly isCatalogRelation: boolean;
}

export interface BtreeMarkPageHalfdeadBody {
  readonly kind: 'MARK_PAGE_HALFDEAD';
  readonly parentOffset: number;
  readonly leafBlock: number;
  readonly leftBlock: number;
  readonly rightBlock: number;
  readonly topParent: number;
}

export interface BtreeUnlinkPageBody {
  readonly kind: 'UNLINK_PAGE' | 'UNLINK_PAGE_META';
  readonly leftSibling: number;
  readonly rightSibling: number;
  readonly level: number;
  /** A full transaction id. */
  readonly safeXid: bigint;
  readonly leafLeftSibling: number;
  readonly leafRightSibling: number;
  readonly leafTopParent: number;
  readonly metadata: BtreeMetadata | undefined;
}

export interface BtreeNewrootBody {
  readonly kind: 'NEWROOT';
  readonly rootBlock: number;
  readonly level: number;
  readonly tuples: Uint8Array | undefined;
  readonly metadata: BtreeMetadata | undefined;
}

export interface BtreeReusePageBody {
  readonly kind: 'REUSE_PAGE';
  readonly relation: RelationLocator;
  readonly block: number;
  /** A full transaction id. */
  readonly snapshotConflictHorizon: bigint;
  readonly isCatalogRelation: boolean;
}

export interface BtreeMetaCleanupBody {
  readonly kind: 'META_CLEANUP';
  readonly metadata: BtreeMetadata | undefined;
}

export type BtreeBody =
  | BtreeInsertBody
  | BtreeSplitBody
  | BtreeDedupBody
  | BtreeVacuumBody
  | BtreeDeleteBody
  | BtreeMarkPageHalfdeadBody
  | BtreeUnlinkPageBody
  | BtreeNewrootBody
  | BtreeReusePageBody
  | BtreeMetaCleanupBody;
