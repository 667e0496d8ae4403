import type { Random } from './random.ts';

const RANDOM_NAME_BYTES = 16;

/** A name that nobody else has: 32 hexadecimal digits. */
export const randomName = (random: Random): string =>
  Array.from(random.bytes(RANDOM_NAME_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join('');
