import { CorruptionError } from '../../base/errors.ts';
import { decodeControlFile } from '../../postgres/files/control-file.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import type { CheckpointCounters } from '../../redo/effects/checkpoint-counters.ts';
import { MultixactOffsetPages } from '../../redo/effects/multixact-offset-pages.ts';
import {
  CLUSTER_STATE_BYTES,
  type ClusterState,
  decodeClusterState,
  roundUpXid,
  writeClusterState,
} from '../keyspace/cluster-state.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import {
  CLUSTER_COMMIT_TIME,
  CLUSTER_CONTROL_FILE,
  CLUSTER_COUNTERS,
  clusterKey,
  KIND_CLUSTER,
  KIND_LOCKS,
  KIND_REPLICATION_ORIGIN,
  KIND_SLRU_SEGMENT,
  KIND_TWO_PHASE,
  kindRange,
  SLRU_NAMES,
} from '../keyspace/keys.ts';
import {
  decodeCommitTime,
  decodeLocks,
  decodeOrigin,
  decodeSize,
  encodeCommitTime,
  type OriginPositions,
} from '../keyspace/stored-values.ts';
import type { Stems } from '../layers/stems.ts';
import { VALUE_HINTS_LOGGED } from '../layers/value.ts';
import type { KeySink } from './key-sink.ts';
import { RelationSizes } from './relation-sizes.ts';
import { SlruPages } from './slru-pages.ts';
import { Transactions } from './transactions.ts';

const TWO_POW_32 = 0x1_0000_0000;
const MICROSECONDS_PER_MILLISECOND = 1000;

/** What the state at a position is read from: feed all values of these ranges to `HeadState.restore`. */
export const HEAD_STATE_RANGES: readonly KeyRange[] = [
  KIND_REPLICATION_ORIGIN,
  KIND_SLRU_SEGMENT,
  KIND_TWO_PHASE,
  KIND_LOCKS,
  KIND_CLUSTER,
].map(kindRange);

/** What ingest knows of the timeline as of its last record. All of it is stored, and read from there at a restart. */
export class HeadState {
  readonly #version: PostgresVersion;
  readonly #stems: Stems;
  readonly sizes: RelationSizes;
  readonly slrus: SlruPages;
  readonly transactions = new Transactions();
  readonly origins = new Map<number, OriginPositions>();
  offsetPages = new MultixactOffsetPages();
  /** Full transaction id: all before it have ended, but for those that are prepared. */
  oldestRunningXid = 0;
  #counters: CheckpointCounters | undefined;
  #hasChecksums: boolean | undefined;
  #commitTime = Number.NEGATIVE_INFINITY;
  /** The value under CLUSTER_COUNTERS, and its nextXid. */
  #stored = new Uint8Array(CLUSTER_STATE_BYTES);
  #storedXid = 0;
  #encoded = new Uint8Array(CLUSTER_STATE_BYTES);

  constructor(version: PostgresVersion, stems: Stems) {
    this.#version = version;
    this.#stems = stems;
    this.sizes = new RelationSizes(stems);
    this.slrus = new SlruPages(stems);
  }

  /** @throws CorruptionError before the counters have been restored */
  get counters(): CheckpointCounters {
    return this.#counters ?? lacking('counters');
  }

  /** VALUE_HINTS_LOGGED or 0, as it holds for the next record. */
  get hintFlags(): number {
    const hasChecksums = this.#hasChecksums ?? lacking('control file');
    return hasChecksums || this.counters.settings.walLogHints ? VALUE_HINTS_LOGGED : 0;
  }

  /**
   * Takes one stored value of HEAD_STATE_RANGES. Empty ones are passed over.
   * @throws CorruptionError where the value cannot be read
   */
  restore(key: Key, value: Uint8Array): void {
    if (value.length === 0) return;
    switch (key.kind) {
      case KIND_REPLICATION_ORIGIN:
        this.origins.set(key.index, decodeOrigin(value));
        break;
      case KIND_SLRU_SEGMENT:
        this.#restoreSegment(key, value);
        break;
      case KIND_TWO_PHASE:
        this.transactions.restorePrepared(this.#version, key.field3 * TWO_POW_32 + key.index, value);
        break;
      case KIND_LOCKS:
        this.transactions.restoreLocks(key.index, decodeLocks(value));
        break;
      case KIND_CLUSTER:
        this.#restoreCluster(key, value);
        break;
      default:
        refuse(key);
    }
  }

  #restoreSegment(key: Key, value: Uint8Array): void {
    const slru = SLRU_NAMES[key.field2];
    if (slru === undefined) refuse(key);
    this.slrus.restore(slru, key.field4, decodeSize(value));
  }

  #restoreCluster(key: Key, value: Uint8Array): void {
    switch (key.index) {
      case CLUSTER_CONTROL_FILE:
        this.#hasChecksums = decodeControlFile(this.#version, value).dataChecksumVersion !== 0;
        break;
      case CLUSTER_COUNTERS:
        this.#restoreCounters(value);
        break;
      case CLUSTER_COMMIT_TIME:
        this.#commitTime = decodeCommitTime(value);
        break;
      default:
        refuse(key);
    }
  }

  #restoreCounters(value: Uint8Array): void {
    const { oldestRunningXid, lastOffsetsPage, preparedOffsetsPage, ...counters } = decodeClusterState(value);
    this.#counters = { ...counters };
    this.oldestRunningXid = oldestRunningXid;
    this.offsetPages = new MultixactOffsetPages(lastOffsetsPage, preparedOffsetsPage);
    this.#stored = value.slice();
    this.#storedXid = counters.nextXid;
  }

  /** Whether nextXid has come past what is stored, the one counter that records of relation pages change. */
  get isXidPastStored(): boolean {
    return this.counters.nextXid > this.#storedXid;
  }

  /** Stores the counters if they differ from what is stored. */
  putCounters(sink: KeySink): void {
    const counters = this.counters;
    const { lastInitialized, preInitialized } = this.offsetPages;
    const state: ClusterState = {
      ...counters,
      oldestRunningXid: this.oldestRunningXid,
      lastOffsetsPage: lastInitialized,
      preparedOffsetsPage: preInitialized,
    };
    const encoded = this.#encoded;
    const nextXid = roundUpXid(counters.nextXid);
    writeClusterState(new DataView(encoded.buffer), state, nextXid);
    if (isSame(encoded, this.#stored)) return;
    sink.put(clusterKey(CLUSTER_COUNTERS), encoded);
    this.#encoded = this.#stored;
    this.#stored = encoded;
    this.#storedXid = nextXid;
  }

  /**
   * A transaction was committed at this time, microseconds since 2000. Stored if it is a later millisecond than what is
   * stored: so it never goes back, and a position can be found by it.
   */
  putCommitTime(time: number, sink: KeySink): void {
    if (!Number.isSafeInteger(time)) return;
    const isLater =
      Math.floor(time / MICROSECONDS_PER_MILLISECOND) >
      Math.floor(this.#commitTime / MICROSECONDS_PER_MILLISECOND);
    if (!isLater) return;
    this.#commitTime = time;
    sink.put(clusterKey(CLUSTER_COMMIT_TIME), encodeCommitTime(time));
  }

  get stems(): Stems {
    return this.#stems;
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

function lacking(what: string): never {
  throw new CorruptionError('HEAD_STATE_INCOMPLETE', `the timeline has no ${what}`);
}

function refuse(key: Key): never {
  throw new CorruptionError('BAD_KEY', `nothing is known of what is stored under ${formatKey(key)}`);
}
