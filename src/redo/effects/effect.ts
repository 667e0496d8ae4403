import type { Lsn } from '../../base/lsn.ts';
import type { CheckPoint } from '../../postgres/files/checkpoint.ts';
import type { ParameterSettings } from '../../postgres/files/control-file.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import type { SlruName } from '../../postgres/files/slru.ts';

/** smgr_redo: a fork comes into being; no effect where it exists. Its length stays as it is (0 when new). */
export interface RelationCreateEffect {
  readonly kind: 'relation-create';
  readonly relation: RelationLocator;
  /** 0 main, 1 free space map, 2 visibility map, 3 init. */
  readonly fork: number;
}

/**
 * smgr_redo, SMGR_TRUNCATE. The main fork is created first if it does not exist. `blocks` counts blocks of the
 * main fork; the maps are cut where the entries of block `blocks` begin, and only if they exist and are that long.
 */
export interface RelationTruncateEffect {
  readonly kind: 'relation-truncate';
  readonly relation: RelationLocator;
  readonly blocks: number;
  readonly heap: boolean;
  readonly visibilityMap: boolean;
  readonly freeSpaceMap: boolean;
}

/** xact_redo_commit, xact_redo_abort: all forks of the relation go. No effect where there are none. */
export interface RelationDropEffect {
  readonly kind: 'relation-drop';
  readonly relation: RelationLocator;
}

/** dbase_redo, CREATE_WAL_LOG: the directory and its PG_VERSION appear; what is already there stays. */
export interface DatabaseCreateEffect {
  readonly kind: 'database-create';
  readonly database: number;
  readonly tablespace: number;
}

/** dbase_redo, CREATE_FILE_COPY: the target's directory is emptied, then gets all files of the source as of now. */
export interface DatabaseCopyEffect {
  readonly kind: 'database-copy';
  readonly sourceDatabase: number;
  readonly sourceTablespace: number;
  readonly database: number;
  readonly tablespace: number;
}

/** dbase_redo, DROP: the database's directories in these tablespaces go, with all that is in them. */
export interface DatabaseDropEffect {
  readonly kind: 'database-drop';
  readonly database: number;
  readonly tablespaces: readonly number[];
}

/** tblspc_redo, CREATE: `pg_tblspc/<oid>` appears; an empty path is an in-place tablespace (a plain directory). */
export interface TablespaceCreateEffect {
  readonly kind: 'tablespace-create';
  readonly tablespace: number;
  readonly path: string;
}

export interface TablespaceDropEffect {
  readonly kind: 'tablespace-drop';
  readonly tablespace: number;
}

/** relmap_redo: the whole new content of pg_filenode.map. The shared map has database 0 and tablespace pg_global. */
export interface RelationMapEffect {
  readonly kind: 'relation-map';
  readonly tablespace: number;
  readonly database: number;
  readonly content: Uint8Array;
}

/**
 * A page of zeros appears, or becomes one. For multixact-offsets ask MultixactOffsetPages.zeroPage first: a page
 * that an earlier multixact-offsets effect has made is not zeroed again.
 */
export interface SlruZeroPageEffect {
  readonly kind: 'slru-zero-page';
  readonly slru: SlruName;
  readonly page: number;
}

/**
 * SimpleLruTruncate: all segments go whose first and last pages both precede `cutoffPage` (slru.ts:
 * isSegmentTruncated), unless the newest page (newestSlruPage) precedes it too, which is an apparent wrap-around: then
 * nothing goes. commit_ts is replayed without that check.
 */
export interface SlruTruncateEffect {
  readonly kind: 'slru-truncate';
  readonly slru: 'clog' | 'multixact-offsets' | 'commit-timestamp';
  readonly cutoffPage: number;
  readonly checksWrapAround: boolean;
}

/**
 * PerformMembersTruncation: segments from `startSegment` up to, not including, `endSegment` go, wrapping around
 * (slru.ts: isSegmentInRange).
 */
export interface SlruDeleteSegmentsEffect {
  readonly kind: 'slru-delete-segments';
  readonly slru: 'multixact-members';
  readonly startSegment: number;
  readonly endSegment: number;
  /** The segment after this one is 0. */
  readonly lastSegment: number;
}

export type TransactionStatus = 'committed' | 'aborted';

/**
 * TransactionIdSetTreeStatus: the final status of transactions on one clog page. The passing sub-committed states
 * are left out: when the record's effects have all been applied the pages are the same.
 */
export interface TransactionStatusEffect {
  readonly kind: 'transaction-status';
  readonly page: number;
  readonly xids: readonly number[];
  readonly status: TransactionStatus;
}

/** TransactionTreeSetCommitTsData: one page of commit_ts. To be ignored while track_commit_timestamp is off. */
export interface CommitTimestampEffect {
  readonly kind: 'commit-timestamp';
  readonly page: number;
  readonly xids: readonly number[];
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  readonly origin: number;
}

/** RecordNewMultiXact: entries of one page of multixact offsets. */
export interface MultixactOffsetsEffect {
  readonly kind: 'multixact-offsets';
  readonly page: number;
  /** Multixact ids, all on this page. */
  readonly multixacts: readonly number[];
  /** The offset of each of them. */
  readonly offsets: readonly number[];
  /**
   * The page of the multixact before, where this effect only holds the *next* multixact's offset and stands on
   * another page than that. WAL of an older minor version may not have made it yet: MultixactOffsetPages.nextPage
   * says whether it has to be zeroed first. Undefined in the ordinary case.
   */
  readonly previousPage: number | undefined;
}

/** RecordNewMultiXact: members on one page of multixact members. */
export interface MultixactMembersEffect {
  readonly kind: 'multixact-members';
  readonly page: number;
  /** Offset of the first of them in the members' space. The others follow. */
  readonly startOffset: number;
  readonly xids: readonly number[];
  /** MultiXactStatus of each. */
  readonly statuses: readonly number[];
}

/**
 * PrepareRedoAdd: a transaction is prepared. The record has a 32-bit xid only: the file's name needs the nextXid
 * that counts after this record (two-phase-file.ts: twoPhaseFileName). `content` is the file without its CRC.
 */
export interface PreparedPutEffect {
  readonly kind: 'prepared-put';
  readonly xid: number;
  readonly content: Uint8Array;
}

/** PrepareRedoRemove: COMMIT PREPARED, ROLLBACK PREPARED. */
export interface PreparedRemoveEffect {
  readonly kind: 'prepared-remove';
  readonly xid: number;
}

/** replorigin_advance. Without `force` both positions only move forward. */
export interface OriginAdvanceEffect {
  readonly kind: 'origin-advance';
  readonly origin: number;
  readonly remoteLsn: Lsn;
  /** End of this record. */
  readonly localLsn: Lsn;
  readonly force: boolean;
}

export interface OriginDropEffect {
  readonly kind: 'origin-drop';
  readonly origin: number;
}

export interface LogicalMessageEffect {
  readonly kind: 'logical-message';
  readonly database: number;
  readonly transactional: boolean;
  readonly prefix: string;
  readonly message: Uint8Array;
}

/** Cache invalidations, of a commit or of a transaction without an xid. */
export interface InvalidationsEffect {
  readonly kind: 'invalidations';
  readonly database: number;
  readonly tablespace: number;
  /** The database's pg_internal.init (or, for shared catalogs, global/pg_internal.init) is stale. */
  readonly relationCacheFile: boolean;
  readonly messageCount: number;
}

/** RUNNING_XACTS. */
export interface RunningTransactionsEffect {
  readonly kind: 'running-transactions';
  readonly nextXid: number;
  readonly oldestRunningXid: number;
  readonly latestCompletedXid: number;
  readonly subtransactionOverflow: boolean;
  /** Top-level transactions. */
  readonly xids: readonly number[];
  readonly subtransactionXids: readonly number[];
}

/** STANDBY LOCK: access exclusive locks that are held. */
export interface LocksEffect {
  readonly kind: 'locks';
  readonly locks: readonly { readonly xid: number; readonly database: number; readonly relation: number }[];
}

export interface CheckpointEffect {
  readonly kind: 'checkpoint';
  readonly shutdown: boolean;
  readonly checkPoint: CheckPoint;
}

/**
 * PARAMETER_CHANGE. When trackCommitTimestamp goes on, the commit_ts page of nextXid is made if it does not exist
 * (ActivateCommitTs); when it goes off, all segments of commit_ts go (DeactivateCommitTs).
 */
export interface ParameterChangeEffect extends ParameterSettings {
  readonly kind: 'parameter-change';
}

export interface FullPageWritesEffect {
  readonly kind: 'full-page-writes';
  readonly fullPageWrites: boolean;
}

export interface EndOfRecoveryEffect {
  readonly kind: 'end-of-recovery';
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  readonly timeline: number;
  readonly previousTimeline: number;
  /** Undefined before 17. */
  readonly walLevel: number | undefined;
}

export interface OverwriteContrecordEffect {
  readonly kind: 'overwrite-contrecord';
  /** Where the record began that never was completed. */
  readonly overwrittenLsn: Lsn;
  readonly time: bigint;
}

export interface BackupEndEffect {
  readonly kind: 'backup-end';
  readonly startLsn: Lsn;
}

export interface RestorePointEffect {
  readonly kind: 'restore-point';
  readonly time: bigint;
  readonly name: string;
}

export interface NextOidEffect {
  readonly kind: 'next-oid';
  readonly nextOid: number;
}

/** What a record does outside of relation pages. A record's effects are to be applied in their order. */
export type Effect =
  | RelationCreateEffect
  | RelationTruncateEffect
  | RelationDropEffect
  | DatabaseCreateEffect
  | DatabaseCopyEffect
  | DatabaseDropEffect
  | TablespaceCreateEffect
  | TablespaceDropEffect
  | RelationMapEffect
  | SlruZeroPageEffect
  | SlruTruncateEffect
  | SlruDeleteSegmentsEffect
  | TransactionStatusEffect
  | CommitTimestampEffect
  | MultixactOffsetsEffect
  | MultixactMembersEffect
  | PreparedPutEffect
  | PreparedRemoveEffect
  | OriginAdvanceEffect
  | OriginDropEffect
  | LogicalMessageEffect
  | InvalidationsEffect
  | RunningTransactionsEffect
  | LocksEffect
  | CheckpointEffect
  | ParameterChangeEffect
  | FullPageWritesEffect
  | EndOfRecoveryEffect
  | OverwriteContrecordEffect
  | BackupEndEffect
  | RestorePointEffect
  | NextOidEffect;

/** The effects that change one page of an SLRU (slru-pages.ts applies them). */
export type SlruPageEffect =
  | SlruZeroPageEffect
  | TransactionStatusEffect
  | CommitTimestampEffect
  | MultixactOffsetsEffect
  | MultixactMembersEffect;
