/** What the records of hash indexes say, as typed values. */

export interface HashInitMetaPageBody {
  readonly kind: 'INIT_META_PAGE';
  readonly tupleCount: number;
  readonly procedure: number;
  readonly fillFactor: number;
}

export interface HashInitBitmapPageBody {
  readonly kind: 'INIT_BITMAP_PAGE';
  readonly bitmapBytes: number;
}

/** Undefined fields, here and below, are those of block data that a full-page image has made superfluous. */
export interface HashInsertBody {
  readonly kind: 'INSERT';
  readonly offsetNumber: number;
  readonly tuple: Uint8Array | undefined;
}

export interface HashAddOverflowPageBody {
  readonly kind: 'ADD_OVFL_PAGE';
  readonly bitmapBytes: number;
  readonly bitmapPageFound: boolean;
  readonly bucket: number | undefined;
  /** Also undefined where there is no block 2. */
  readonly bitmapBit: number | undefined;
  readonly firstFree: number | undefined;
}

export interface HashSplitAllocatePageBody {
  readonly kind: 'SPLIT_ALLOCATE_PAGE';
  readonly newBucket: number;
  readonly oldBucketFlag: number;
  readonly newBucketFlag: number;
  readonly flags: number;
  /** Undefined too unless the flags announce them. */
  readonly masks: { readonly low: number; readonly high: number } | undefined;
  readonly splitpoint: { readonly overflowPoint: number; readonly overflowPages: number } | undefined;
}

export interface HashSplitPageBody {
  readonly kind: 'SPLIT_PAGE';
}

export interface HashSplitCompleteBody {
  readonly kind: 'SPLIT_COMPLETE';
  readonly oldBucketFlag: number;
  readonly newBucketFlag: number;
}

/** Tuples that are added to a page. */
export interface HashMovedTuples {
  readonly offsetNumbers: readonly number[];
  /** One after another, each aligned to eight bytes. */
  readonly tuples: Uint8Array;
}

export interface HashMovePageContentsBody {
  readonly kind: 'MOVE_PAGE_CONTENTS';
  readonly tupleCount: number;
  readonly isPrimaryBucketPage: boolean;
  readonly moved: HashMovedTuples | undefined;
  readonly deleted: readonly number[] | undefined;
}

export interface HashSqueezePageBody {
  readonly kind: 'SQUEEZE_PAGE';
  readonly previousBlock: number;
  readonly nextBlock: number;
  readonly tupleCount: number;
  readonly isPrimaryBucketPage: boolean;
  readonly isPreviousPage: boolean;
  readonly moved: HashMovedTuples | undefined;
  readonly bitmapBit: number | undefined;
  /** Also undefined where the meta page stays as it is. */
  readonly firstFree: number | undefined;
}

export interface HashDeleteBody {
  readonly kind: 'DELETE';
  readonly clearDeadMarking: boolean;
  readonly isPrimaryBucketPage: boolean;
  readonly deleted: readonly number[] | undefined;
}

export interface HashSplitCleanupBody {
  readonly kind: 'SPLIT_CLEANUP';
}

export interface HashUpdateMetaPageBody {
  readonly kind: 'UPDATE_META_PAGE';
  readonly tupleCount: number;
}

export interface HashVacuumOnePageBody {
  readonly kind: 'VACUUM_ONE_PAGE';
  readonly snapshotConflictHorizon: number;
  readonly isCatalogRelation: boolean;
  readonly deleted: readonly number[];
}

export type HashBody =
  | HashInitMetaPageBody
  | HashInitBitmapPageBody
  | HashInsertBody
  | HashAddOverflowPageBody
  | HashSplitAllocatePageBody
  | HashSplitPageBody
  | HashSplitCompleteBody
  | HashMovePageContentsBody
  | HashSqueezePageBody
  | HashDeleteBody
  | HashSplitCleanupBody
  | HashUpdateMetaPageBody
  | HashVacuumOnePageBody;
