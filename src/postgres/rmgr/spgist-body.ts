/** The records of SP-GiST indexes as values (access/spgxlog.h). */

/** spgxlogState: what replay needs to make redirections. */
export interface SpgistState {
  readonly redirectXid: number;
  readonly isBuild: boolean;
}

export interface SpgistAddLeafBody {
  readonly kind: 'ADD_LEAF';
  readonly newPage: boolean;
  readonly storesNulls: boolean;
  readonly offsetLeaf: number;
  /** Equal to `offsetLeaf` where the leaf replaces a dead tuple, 0 where it begins a chain. */
  readonly offsetHeadLeaf: number;
  /** 0 where no parent is updated. */
  readonly offsetParent: number;
  readonly node: number;
  readonly leafTuple: Uint8Array;
}

export interface SpgistMoveLeafsBody {
  readonly kind: 'MOVE_LEAFS';
  readonly newPage: boolean;
  readonly replaceDead: boolean;
  readonly storesNulls: boolean;
  readonly offsetParent: number;
  readonly node: number;
  readonly state: SpgistState;
  readonly deleted: readonly number[];
  readonly inserted: readonly number[];
  readonly leafTuples: readonly Uint8Array[];
}

export interface SpgistAddNodeBody {
  readonly kind: 'ADD_NODE';
  readonly offset: number;
  /** 0 where the tuple is replaced in place. */
  readonly offsetNew: number;
  readonly newPage: boolean;
  /** Block reference of the parent, or -1 where it is not updated. */
  readonly parentBlock: number;
  readonly offsetParent: number;
  readonly node: number;
  readonly state: SpgistState;
  readonly innerTuple: Uint8Array;
}

export interface SpgistSplitTupleBody {
  readonly kind: 'SPLIT_TUPLE';
  readonly offsetPrefix: number;
  readonly offsetPostfix: number;
  readonly newPage: boolean;
  readonly postfixOnSamePage: boolean;
  readonly prefixTuple: Uint8Array;
  readonly postfixTuple: Uint8Array;
}

export interface SpgistPickSplitBody {
  readonly kind: 'PICKSPLIT';
  readonly isRootSplit: boolean;
  readonly initializeSource: boolean;
  readonly initializeDestination: boolean;
  readonly offsetInner: number;
  readonly initializeInner: boolean;
  readonly storesNulls: boolean;
  readonly innerIsParent: boolean;
  readonly offsetParent: number;
  readonly node: number;
  readonly state: SpgistState;
  readonly deleted: readonly number[];
  readonly inserted: readonly number[];
  /** For each inserted tuple whether it goes to the destination page (block 1) rather than the source page. */
  readonly toDestination: readonly boolean[];
  readonly innerTuple: Uint8Array;
  readonly leafTuples: readonly Uint8Array[];
}

export interface SpgistVacuumLeafBody {
  readonly kind: 'VACUUM_LEAF';
  readonly state: SpgistState;
  readonly dead: readonly number[];
  readonly placeholders: readonly number[];
  readonly moveSources: readonly number[];
  readonly moveDestinations: readonly number[];
  readonly chainSources: readonly number[];
  readonly chainDestinations: readonly number[];
}

export interface SpgistVacuumRootBody {
  readonly kind: 'VACUUM_ROOT';
  readonly state: SpgistState;
  readonly deleted: readonly number[];
}

export interface SpgistVacuumRedirectBody {
  readonly kind: 'VACUUM_REDIRECT';
  /** 0 where no placeholder is removed from the end of the page. */
  readonly firstPlaceholder: number;
  readonly snapshotConflictHorizon: number;
  readonly isCatalogRelation: boolean;
  readonly toPlaceholder: readonly number[];
}

export type SpgistBody =
  | SpgistAddLeafBody
  | SpgistMoveLeafsBody
  | SpgistAddNodeBody
  | SpgistSplitTupleBody
  | SpgistPickSplitBody
  | SpgistVacuumLeafBody
  | SpgistVacuumRootBody
  | SpgistVacuumRedirectBody;
