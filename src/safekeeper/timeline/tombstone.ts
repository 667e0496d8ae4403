import { CorruptionError } from '../../base/errors.ts';

const TOMBSTONE_PATTERN = /^varve-safekeeper-tombstone 1 generation (\d{1,10})\n$/;

/** What is left of a deleted timeline: in which generation of its configuration it went. */
export function encodeTombstone(generation: number): Uint8Array {
  return new TextEncoder().encode(`varve-safekeeper-tombstone 1 generation ${generation}\n`);
}

/** @throws CorruptionError naming the file. */
export function decodeTombstone(content: Uint8Array, path: string): number {
  const match = TOMBSTONE_PATTERN.exec(new TextDecoder().decode(content));
  if (match === null) {
    throw new CorruptionError('BAD_TOMBSTONE', 'this is no tombstone of a timeline that this version knows', {
      file: path,
    });
  }
  return Number(match[1]);
}
