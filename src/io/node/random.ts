import { randomBytes } from 'node:crypto';
import type { Random } from '../random.ts';

/** What readUIntBE takes at once. */
const FRACTION_BYTES = 6;

/** The real side of the randomness door: the operating system's generator. */
export const nodeRandom: Random = {
  fraction: () => randomBytes(FRACTION_BYTES).readUIntBE(0, FRACTION_BYTES) / 2 ** (8 * FRACTION_BYTES),
  // Of its own memory: small buffers of Node.js share one.
  bytes: (length) => new Uint8Array(randomBytes(length)),
};
