/** What the records of GIN indexes say, as typed values. */
import type { RelationLocator } from '../files/relation-locator.ts';

export interface GinItemPointer {
  readonly block: number;
  readonly offsetNumber: number;
}

/** Content of the meta page (GinMetaPageData). */
export interface GinMetadata {
  readonly head: number;
  readonly tail: number;
  readonly tailFreeBytes: number;
  readonly pendingPages: number;
  readonly pendingHeapTuples: bigint;
  readonly totalPages: number;
  readonly entryPages: number;
  readonly dataPages: number;
  readonly entries: bigint;
  readonly version: number;
}

export interface GinCreatePostingTreeBody {
  readonly kind: 'CREATE_PTREE';
  readonly postingLists: Uint8Array;
}

/** A tuple for a page of the entry tree, in place of an older one if `isDelete`. */
export interface GinEntryChange {
  readonly type: 'entry';
  readonly offsetNumber: number;
  readonly isDelete: boolean;
  readonly tuple: Uint8Array;
}

/** A posting item for an inner page of a posting tree. */
export interface GinInternalChange {
  readonly type: 'internal';
  readonly offsetNumber: number;
  readonly childBlock: number;
  readonly key: GinItemPointer;
}

export interface GinSegmentAction {
  readonly segment: number;
  readonly action: 'delete' | 'insert' | 'replace' | 'add items';
  /** The whole segment that an insert or a replace brings. */
  readonly postingList: Uint8Array | undefined;
  readonly addedItems: readonly GinItemPointer[] | undefined;
}

/** Changes of single segments on a leaf of a posting tree. */
export interface GinLeafChange {
  readonly type: 'leaf';
  readonly actions: readonly GinSegmentAction[];
}

/** The two halves of the page whose split an insertion completes. */
export interface GinChildren {
  readonly left: number;
  readonly right: number;
}

export interface GinInsertBody {
  readonly kind: 'INSERT';
  readonly isData: boolean;
  readonly isLeaf: boolean;
  /** Undefined on a leaf. */
  readonly children: GinChildren | undefined;
  /** Undefined, here and below, where a full-page image has made the block's data superfluous. */
  readonly change: GinEntryChange | GinInternalChange | GinLeafChange | undefined;
}

export interface GinSplitBody {
  readonly kind: 'SPLIT';
  readonly relation: RelationLocator;
  readonly rightLink: number;
  readonly leftChild: number;
  readonly rightChild: number;
  readonly isData: boolean;
  readonly isLeaf: boolean;
  readonly isRootSplit: boolean;
}

/** All is in the image. */
export interface GinVacuumPageBody {
  readonly kind: 'VACUUM_PAGE';
}

export interface GinVacuumDataLeafPageBody {
  readonly kind: 'VACUUM_DATA_LEAF_PAGE';
  readonly change: GinLeafChange | undefined;
}

export interface GinDeletePageBody {
  readonly kind: 'DELETE_PAGE';
  readonly parentOffset: number;
  readonly rightLink: number;
  readonly deleteXid: number;
}

export interface GinUpdateMetaPageBody {
  readonly kind: 'UPDATE_META_PAGE';
  readonly relation: RelationLocator;
  readonly metadata: GinMetadata;
  readonly previousTail: number;
  readonly newRightLink: number;
  readonly tupleCount: number;
  readonly tuples: readonly Uint8Array[] | undefined;
}

export interface GinInsertListPageBody {
  readonly kind: 'INSERT_LISTPAGE';
  readonly rightLink: number;
  readonly tuples: readonly Uint8Array[];
}

export interface GinDeleteListPageBody {
  readonly kind: 'DELETE_LISTPAGE';
  readonly metadata: GinMetadata;
  readonly deletedCount: number;
}

export type GinBody =
  | GinCreatePostingTreeBody
  | GinInsertBody
  | GinSplitBody
  | GinVacuumPageBody
  | GinVacuumDataLeafPageBody
  | GinDeletePageBody
  | GinUpdateMetaPageBody
  | GinInsertListPageBody
  | GinDeleteListPageBody;
