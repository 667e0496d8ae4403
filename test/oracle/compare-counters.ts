import type { CheckPoint } from '../../src/postgres/files/checkpoint.ts';
import { multixactPrecedes, xidPrecedes } from '../../src/postgres/files/slru.ts';
import type { CheckpointCounters } from '../../src/redo/effects/checkpoint-counters.ts';

/** VAR_OID_PREFETCH (varsup.c): a server gives out that many OIDs before it logs again. */
const OID_PREFETCH = 8192;

/**
 * Compares the counters that replay had right before the server's last checkpoint with what that checkpoint says.
 * Returns what is wrong, one sentence each.
 */
export function compareCounters(ours: CheckpointCounters, theirs: CheckPoint): string[] {
  const differences: string[] = [];
  const demand = (name: string, fits: boolean, left: unknown, right: unknown): void => {
    if (!fits) differences.push(`counter ${name}: replay has ${left}, the server's last checkpoint ${right}`);
  };
  // full_page_writes is not compared: a server that starts with another value does not log it before a checkpoint.
  const equal = ['nextXid', 'nextMulti', 'nextMultiOffset', 'newestCommitTsXid'] as const;
  for (const name of equal) demand(name, ours[name] === theirs[name], ours[name], theirs[name]);
  demand('walLevel', ours.settings.walLevel === theirs.walLevel, ours.settings.walLevel, theirs.walLevel);
  // Replay only knows the limit that was logged.
  const ahead = ours.nextOid - theirs.nextOid;
  demand('nextOid', ahead >= 0 && ahead <= OID_PREFETCH, ours.nextOid, theirs.nextOid);
  // VACUUM moves these without WAL when there is nothing to truncate: replay's may be older, never newer.
  demand('oldestXid', !xidPrecedes(theirs.oldestXid, ours.oldestXid), ours.oldestXid, theirs.oldestXid);
  demand(
    'oldestMulti',
    !multixactPrecedes(theirs.oldestMulti, ours.oldestMulti),
    ours.oldestMulti,
    theirs.oldestMulti,
  );
  const { oldestCommitTsXid } = ours;
  const isOlder = !xidPrecedes(theirs.oldestCommitTsXid, oldestCommitTsXid);
  demand('oldestCommitTsXid', isOlder, oldestCommitTsXid, theirs.oldestCommitTsXid);
  return differences;
}
