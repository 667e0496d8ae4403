import { BadRequestError } from './errors.ts';

const SECOND = 1000;
const DAY = 24 * 3600 * SECOND;
/** What humantime takes, but for units below a millisecond, which nothing here is measured in. */
const MS_OF_UNIT: Readonly<Record<string, number>> = {
  ...{ ms: 1, msec: 1, millis: 1 },
  ...{ s: SECOND, sec: SECOND, secs: SECOND, second: SECOND, seconds: SECOND },
  ...{ m: 60 * SECOND, min: 60 * SECOND, mins: 60 * SECOND, minute: 60 * SECOND, minutes: 60 * SECOND },
  ...{ h: 3600 * SECOND, hr: 3600 * SECOND, hrs: 3600 * SECOND, hour: 3600 * SECOND, hours: 3600 * SECOND },
  ...{ d: DAY, day: DAY, days: DAY, w: 7 * DAY, week: 7 * DAY, weeks: 7 * DAY },
};

/**
 * A time as Neon's APIs write it, such as `20s`, `7days` or `1h 30m`, in milliseconds; `0` needs no unit.
 * @throws BadRequestError BAD_DURATION
 */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+)\s*([a-z]*)\s*/gy)];
  const length = parts.reduce((sum, part) => sum + part[0].length, 0);
  let ms = parts.length > 0 && length === text.length ? 0 : Number.NaN;
  for (const [, digits, unit = ''] of parts) {
    const isZero = Number(digits) === 0 && unit === '' && parts.length === 1;
    ms += Number(digits) * (isZero ? 0 : (MS_OF_UNIT[unit] ?? Number.NaN));
  }
  if (Number.isSafeInteger(ms)) return ms;
  throw new BadRequestError('BAD_DURATION', `“${text}” is no time such as 500ms, 20s, 10m, 1h or 7days`);
}

const UNITS: readonly (readonly [string, number])[] = [
  ['day', DAY],
  ['h', 3600 * SECOND],
  ['m', 60 * SECOND],
  ['s', SECOND],
  ['ms', 1],
];

/** As humantime writes it: `7days`, `1h 30m`; `0s` for nothing. */
export function formatDuration(ms: number): string {
  const parts: string[] = [];
  let left = Math.round(ms);
  for (const [unit, length] of UNITS) {
    const count = Math.floor(left / length);
    left -= count * length;
    if (count > 0) parts.push(`${count}${unit}${unit === 'day' && count > 1 ? 's' : ''}`);
  }
  return parts.length === 0 ? '0s' : parts.join(' ');
}
