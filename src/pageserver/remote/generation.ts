import { AssertionError } from '../../base/errors.ts';

/** The number of an attachment: from 1, in eight hexadecimal digits. */
export const GENERATION_MAX = 0xffff_ffff;

export const isGeneration = (value: number): boolean =>
  Number.isSafeInteger(value) && value >= 1 && value <= GENERATION_MAX;

/** Eight lower-case hexadecimal digits. */
export function formatGeneration(generation: number): string {
  if (!isGeneration(generation)) throw new AssertionError(`${generation} is no generation`);
  return generation.toString(16).padStart(8, '0');
}

/** undefined where it is none. */
export function parseGeneration(digits: string): number | undefined {
  if (!/^[0-9a-f]{8}$/.test(digits)) return undefined;
  const generation = Number.parseInt(digits, 16);
  return generation === 0 ? undefined : generation;
}
