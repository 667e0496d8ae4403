import type { WalPageExpectations } from './wal-page-checker.ts';
import type { WalWorkspace } from './workspace.ts';

export interface WalReaderOptions extends WalPageExpectations {
  /**
   * Where to begin. In `exact` mode the start of a record (or of its page); in `search` mode any LSN: the first
   * record that starts at or after it is the first that `next` shows.
   */
  readonly startLsn: number;
  readonly mode?: 'exact' | 'search';
  /** Refuse longer records. PostgreSQL's own limit, 1020 MiB, unless told otherwise. */
  readonly recordBytesMax?: number;
  /** Shared by readers of one thread; a reader makes its own if none is given. */
  readonly workspace?: WalWorkspace;
}

/** Why there is no record at a place where one could begin. */
export interface WalEnd {
  /** End of the last whole record, or where the search came to its end. */
  readonly lsn: number;
  readonly reason: string;
}
