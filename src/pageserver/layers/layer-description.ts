import type { Lsn } from '../../base/lsn.ts';
import type { KeyRange } from '../keyspace/key-range.ts';

/**
 * What a layer holds. A delta layer: all values of its keys whose LSN is in [lsnStart, lsnEnd). An image layer: what
 * all keys of its range were at `lsnStart` (= lsnEnd - 1), all records up to and including that LSN applied; a key
 * that it has no value for did not exist then. Immutable, as the file is.
 */
export interface LayerDescription {
  readonly kind: 'delta' | 'image';
  readonly keys: KeyRange;
  readonly lsnStart: Lsn;
  /** Exclusive. */
  readonly lsnEnd: Lsn;
  /** Of the attachment that wrote it. Part of the object's key. */
  readonly generation: number;
  /** Of the file and of the object. */
  readonly sizeBytes: number;
}
