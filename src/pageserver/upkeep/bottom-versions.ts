import type { Lsn } from '../../base/lsn.ts';
import { isBase } from '../layers/value.ts';
import type { PromisedReads } from './gc-cutoff.ts';
import { type KeyVersion, keepVersions } from './keep-versions.ts';
import type { KeyHistory } from './key-history.ts';

/** What is written of a key at an LSN. */
export interface BottomVersion {
  readonly lsn: number;
  /** The history's value, or -1: the key did not exist, as an image layer without a value for it says. */
  readonly index: number;
  /** Not the value itself, but what the key was with it. */
  readonly isImage: boolean;
}

/**
 * What has to stay of a key's history, ascending.
 *
 * @param belowCount so many of its values, the first ones, are not the timeline's own, and stay where they are
 * @param imageLsns of the timeline's own image layers that cover the key
 */
export function planKey(
  history: KeyHistory,
  belowCount: number,
  imageLsns: readonly number[],
  promised: PromisedReads,
): BottomVersion[] {
  const indexes: number[] = [];
  const versions: KeyVersion[] = [];
  const add = (lsn: number, index: number, isBaseVersion: boolean): void => {
    indexes.push(index);
    versions.push({ lsn: lsn as Lsn, isBase: isBaseVersion });
  };
  let image = 0;
  for (let index = belowCount; index < history.count; index++) {
    const lsn = history.lsnOf(index);
    while (image < imageLsns.length && (imageLsns[image] as number) < lsn)
      add(imageLsns[image++] as number, -1, true);
    // The layer has a value for the key, this one, or the record of that LSN has ended it.
    if (imageLsns[image] === lsn) image++;
    add(lsn, index, isBase(history.flagsOf(index)));
  }
  for (; image < imageLsns.length; image++) add(imageLsns[image] as number, -1, true);
  const { kept, imagesAt } = keepVersions(versions, promised);
  return [
    ...kept.map((at) => ({
      lsn: (versions[at] as KeyVersion).lsn,
      index: indexes[at] as number,
      isImage: false,
    })),
    ...imagesAt.map((lsn) => ({
      lsn,
      index: indexes[versions.findIndex((version) => version.lsn === lsn)] as number,
      isImage: true,
    })),
  ].sort((left, right) => left.lsn - right.lsn);
}
