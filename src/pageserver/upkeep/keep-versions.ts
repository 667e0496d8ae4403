import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { PromisedReads } from './gc-cutoff.ts';

/** A value of a key. Where an image layer over the key has no value for it, that is one too, and a base. */
export interface KeyVersion {
  readonly lsn: Lsn;
  /** It needs no older one. */
  readonly isBase: boolean;
}

export interface KeptVersions {
  /** Indexes of the versions that stay as they are, ascending. */
  readonly kept: readonly number[];
  /** LSNs of versions in whose stead an image is stored, at the same LSN, of what the key is there; ascending. */
  readonly imagesAt: readonly Lsn[];
}

/**
 * What is to stay of the history of one key, so that it is what it was at each promised LSN: what is above the cutoff,
 * and one base for the cutoff and for each retained LSN that a version came before since the one below it. Nothing for
 * a promised LSN that is below all versions: what the key is there, the layers and timelines below say.
 *
 * @param versions ascending, all that there are above the lowest of them; of one LSN there may be several, in order
 * @throws AssertionError unless versions and retained LSNs are ascending
 */
export function keepVersions(
  versions: readonly KeyVersion[],
  { retainedLsns, cutoff }: PromisedReads,
): KeptVersions {
  const kept: number[] = [];
  const imagesAt: Lsn[] = [];
  let index = 0;
  let previousPoint = -1;
  for (const point of [...retainedLsns, cutoff]) {
    if (point <= previousPoint) throw new AssertionError('promised LSNs are not ascending', { lsn: point });
    previousPoint = point;
    const before = index;
    for (; index < versions.length && (versions[index] as KeyVersion).lsn <= point; index++) {
      checkAscending(versions, index);
    }
    if (index === before) continue;
    const newest = versions[index - 1] as KeyVersion;
    if (newest.isBase) kept.push(index - 1);
    else imagesAt.push(newest.lsn);
  }
  for (; index < versions.length; index++) {
    checkAscending(versions, index);
    kept.push(index);
  }
  return { kept, imagesAt };
}

function checkAscending(versions: readonly KeyVersion[], index: number): void {
  if (index === 0) return;
  const { lsn } = versions[index] as KeyVersion;
  if (lsn < (versions[index - 1] as KeyVersion).lsn) {
    throw new AssertionError('the versions of a key are not ascending', { lsn });
  }
}
