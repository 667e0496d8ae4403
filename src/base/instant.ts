import { BadRequestError } from './errors.ts';

const MICROS_PER_MS = 1000n;
const MINUTE_MS = 60_000;
const FRACTION_DIGITS = 6;
/** Date, hours and minutes, seconds with their fraction, zone. */
const FORM =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)$/;

/**
 * A moment as ISO 8601 writes it, with its zone, such as `2026-03-01T12:00:00.25Z` or `2026-03-01 13:00+01`, in microseconds
 * since 1970.
 * @throws BadRequestError BAD_TIME, also for a day or an hour that there is not
 */
export function parseInstant(text: string): bigint {
  const match = FORM.exec(text);
  if (match === null) return refuse(text);
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map((index) =>
    Number(match[index] ?? 0),
  );
  const local = new Date(0);
  local.setUTCFullYear(year as number, (month as number) - 1, day);
  local.setUTCHours(hour as number, minute, second);
  // What is beyond its end goes over into what is next to it.
  const isReal =
    local.getUTCMonth() === (month as number) - 1 &&
    local.getUTCDate() === day &&
    local.getUTCHours() === hour &&
    local.getUTCMinutes() === minute;
  const [zoneHours, zoneMinutes] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (!isReal || (second as number) > 59 || zoneHours > 15 || zoneMinutes > 59) return refuse(text);
  const offsetMinutes = (zoneHours * 60 + zoneMinutes) * (match[8] === '-' ? -1 : 1);
  const ms = local.getTime() - offsetMinutes * MINUTE_MS;
  return BigInt(ms) * MICROS_PER_MS + BigInt((match[7] ?? '').padEnd(FRACTION_DIGITS, '0'));
}

/** As parseInstant reads it, of UTC, to the microsecond. @param micros since 1970 */
export function formatInstant(micros: bigint): string {
  const below = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = new Date(Number((micros - below) / MICROS_PER_MS)).toISOString().slice(0, -'.000Z'.length);
  return `${seconds}.${String(below).padStart(FRACTION_DIGITS, '0')}Z`;
}

function refuse(text: string): never {
  const shown = text.slice(0, 40);
  throw new BadRequestError('BAD_TIME', `“${shown}” is no time with a zone, such as 2026-03-01T12:00:00Z`);
}
