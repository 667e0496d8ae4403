import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { FORK_FREE_SPACE_MAP, FORK_INIT, FORK_MAIN } from '../../postgres/wal/record-header.ts';
import { KEY_BYTES } from '../keyspace/key.ts';
import { KIND_RELATION_SIZE, kindRange } from '../keyspace/keys.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { TimelineReads } from '../timeline/timeline-reads.ts';
import { scanAllBatches } from './scan-all.ts';

/** Offsets in the 18 bytes of a key. */
const KEY_TABLESPACE = 1;
const KEY_DATABASE = 5;
const KEY_RELATION = 9;
const KEY_FORK = 13;
const FORKS = 4;
const ABSENT = -1;
const SIZE_BYTES = 4;
/** So many that they are forgotten before a collection finds them worth moving. */
const FORKS_AT_ONCE = 2000;

/** A fork that a server finds at its start. */
export interface StartFork {
  readonly relation: RelationLocator;
  readonly fork: number;
  /** Whose pages are its content: the init fork's for the main fork of an unlogged relation, else its own. */
  readonly contentFork: number;
  readonly blocks: number;
}

/**
 * All forks, in order of tablespace, database, relation and fork, many at a time. An unlogged relation has as its main
 * fork a copy of its init fork, and no other, as after a crash (reinit.c): a server that was shut down cleanly would not
 * do that itself. Free space maps are not stored.
 */
export async function* startForks(
  reads: TimelineReads,
  lsn: Lsn,
  context: ReadContext,
): AsyncGenerator<readonly StartFork[], void> {
  const sizes = [ABSENT, ABSENT, ABSENT, ABSENT];
  let current: RelationLocator = { tablespace: -1, database: -1, relation: -1 };
  for await (const batch of scanAllBatches(reads, kindRange(KIND_RELATION_SIZE), lsn, context)) {
    let forks: StartFork[] = [];
    const { keyView, valueView } = batch;
    for (let entry = 0; entry < batch.count; entry++) {
      const at = entry * KEY_BYTES;
      const fork = keyView.getUint8(at + KEY_FORK);
      if (fork >= FORKS || batch.valueLength(entry) !== SIZE_BYTES) refuse(lsn);
      const tablespace = keyView.getUint32(at + KEY_TABLESPACE);
      const database = keyView.getUint32(at + KEY_DATABASE);
      const relation = keyView.getUint32(at + KEY_RELATION);
      const isSame =
        relation === current.relation && database === current.database && tablespace === current.tablespace;
      if (!isSame) {
        put(forks, current, sizes);
        current = { tablespace, database, relation };
        if (forks.length >= FORKS_AT_ONCE) {
          yield forks;
          forks = [];
        }
      }
      sizes[fork] = valueView.getUint32(batch.valueOffset(entry), true);
    }
    yield forks;
  }
  const last: StartFork[] = [];
  put(last, current, sizes);
  if (last.length > 0) yield last;
}

/** Takes what is known of a relation, and forgets it. */
function put(forks: StartFork[], relation: RelationLocator, sizes: number[]): void {
  const initBlocks = sizes[FORK_INIT] as number;
  const isUnlogged = initBlocks !== ABSENT;
  if (isUnlogged) forks.push({ relation, fork: FORK_MAIN, contentFork: FORK_INIT, blocks: initBlocks });
  for (let fork = 0; fork < FORKS; fork++) {
    const blocks = sizes[fork] as number;
    sizes[fork] = ABSENT;
    if (blocks === ABSENT || fork === FORK_FREE_SPACE_MAP || (isUnlogged && fork !== FORK_INIT)) continue;
    forks.push({ relation, fork, contentFork: fork, blocks });
  }
}

function refuse(lsn: number): never {
  throw new CorruptionError('BAD_VALUE', 'the size of a fork is damaged', { lsn });
}
