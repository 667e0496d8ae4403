import type { Random } from '../../io/random.ts';

const OWN_ID_BYTES = 8;
const NAME_LENGTH_MAX = 63;

const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

export const newBranchId = (random: Random): string => `br-${hexOf(random.bytes(OWN_ID_BYTES))}`;
export const newEndpointId = (random: Random): string => `ep-${hexOf(random.bytes(OWN_ID_BYTES))}`;
export const newOperationId = (random: Random): string => `op-${hexOf(random.bytes(OWN_ID_BYTES))}`;
/** For a branch that nobody has given a name. */
export const newBranchName = (random: Random): string => `branch-${hexOf(random.bytes(OWN_ID_BYTES))}`;

/** What was on a branch is kept as: the name, and when that was, as `main_old_20260301T120000_ab12`. */
export function backupName(name: string, timeMs: number, random: Random): string {
  const when = new Date(timeMs).toISOString().replaceAll(/[-:]|\.\d+Z$/g, '');
  const ending = `_old_${when}_${hexOf(random.bytes(2))}`;
  return name.slice(0, NAME_LENGTH_MAX - ending.length) + ending;
}
