import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { FORK_FREE_SPACE_MAP, FORK_INIT, FORK_VISIBILITY_MAP } from '../../postgres/wal/record-header.ts';
import type { Key } from '../keyspace/key.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { NO_FORK, SIZE_LACKING } from '../read/fork-sizes.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { hasReached } from '../timeline/timeline-reads.ts';

/** @throws BadRequestError BAD_RELATION, BAD_FORK for what no cluster has */
export function checkFork(relation: number, fork: number): void {
  if (relation === 0) throw new BadRequestError('BAD_RELATION', 'no relation has the number 0');
  if (fork > FORK_INIT) throw new BadRequestError('BAD_FORK', `there is no fork ${fork}`);
}

/** Blocks of the fork that a key belongs to, as they are stored; undefined where there is no such fork. */
export async function readStoredSize(
  { timeline, reads }: ActiveTimeline,
  key: Key,
  lsn: Lsn,
  context: ReadContext,
): Promise<number | undefined> {
  const { field2: tablespace, field3: database, field4: relation, field5: fork } = key;
  if (hasReached(timeline, lsn)) {
    reads.checkPromised(lsn);
    const stored = timeline.forkSizes.readNow(tablespace, database, relation, fork, lsn, context);
    if (stored !== SIZE_LACKING) return stored === NO_FORK ? undefined : stored;
  }
  return await reads.relationSize({ tablespace, database, relation }, fork, lsn, context);
}

/**
 * Blocks that a client is told of: a map that is not there is one that is empty (pgdatadir_mapping.rs, get_rel_size).
 * @param stored NO_FORK or undefined: there is none
 * @throws VarveError ‘not-found’ / RELATION_NOT_FOUND for any other fork
 */
export function sizeToServe(stored: number | undefined, key: Key): number {
  if (stored !== undefined && stored !== NO_FORK) return stored;
  if (key.field5 === FORK_FREE_SPACE_MAP || key.field5 === FORK_VISIBILITY_MAP) return 0;
  const { field2, field3, field4, field5 } = key;
  throw new VarveError(
    'not-found',
    'RELATION_NOT_FOUND',
    `there is no fork ${field5} of relation ${field2}/${field3}/${field4}`,
  );
}
