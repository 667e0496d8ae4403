import { InvalidArgumentError } from 'commander';
import { VarveError } from '../base/errors.ts';
import { parseInstant } from '../base/instant.ts';
import type { Lsn } from '../base/lsn.ts';
import { nameSchema } from '../contracts/control-api-values.ts';
import { parseDuration } from './option-values.ts';

const DISTANCE_MS_MAX = 3650 * 86_400_000;
/** The end of the year 9999, after which RFC 3339 has no times. */
const WALL_MS_MAX = 253_402_300_799_999;

/** A moment, or how far it is from now. */
export type Moment = { readonly wallMs: number } | { readonly distanceMs: number };

/** What something new is to be called. */
export function parseName(text: string): string {
  const result = nameSchema.safeParse(text);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const rule = text.length > 63 ? 'a name has at most 63 characters' : (issue?.message ?? 'this is no name');
  throw new InvalidArgumentError(`${text === '' ? 'a name has at least 1 character' : rule}.`);
}

/** `2026-03-01T12:00:00Z` or, from now, `2h`. The API knows milliseconds: what is below is left out. */
export function parseMoment(text: string): Moment {
  if (/^\d+[a-z]+$/.test(text)) {
    const distanceMs = parseDuration(text);
    if (distanceMs <= DISTANCE_MS_MAX) return { distanceMs };
    throw new InvalidArgumentError('Ten years are the most.');
  }
  let wallMs: number;
  try {
    wallMs = Number(parseInstant(text) / 1000n);
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    throw new InvalidArgumentError(
      'Write a time with its zone, such as 2026-03-01T12:00:00Z, or how far away it is: 30s, 15m, 2h, 1d.',
    );
  }
  if (wallMs >= 0 && wallMs <= WALL_MS_MAX) return { wallMs };
  throw new InvalidArgumentError('The years are 1970 to 9999.');
}

/** Where in the history of a branch: `--lsn`, or `--at`, where a distance is one back. */
export interface PointFlags {
  readonly lsn?: Lsn;
  readonly at?: Moment;
}

export function toPoint(
  { lsn, at }: PointFlags,
  nowMs: number,
): { readonly lsn?: Lsn; readonly time?: number } {
  return {
    ...(lsn === undefined ? {} : { lsn }),
    ...(at === undefined ? {} : { time: 'wallMs' in at ? at.wallMs : nowMs - at.distanceMs }),
  };
}

/** A moment to come. */
export const toFuture = (moment: Moment, nowMs: number): number =>
  'wallMs' in moment ? moment.wallMs : nowMs + moment.distanceMs;

/** For tables: to the second, of UTC. */
export const timeText = (timeMs: number): string =>
  `${new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ')}Z`;
