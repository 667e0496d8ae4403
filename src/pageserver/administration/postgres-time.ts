/** 2000-01-01 UTC, from which PostgreSQL counts (timestamp.h, POSTGRES_EPOCH_JDATE), in milliseconds since 1970. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
/** The same in microseconds. */
export const POSTGRES_EPOCH_MICROS: bigint = BigInt(POSTGRES_EPOCH_MS) * 1000n;

/** @param timeMs milliseconds since 1970. Microseconds since 2000 */
export const toPostgresMicros = (timeMs: number): bigint =>
  BigInt(Math.floor(timeMs - POSTGRES_EPOCH_MS)) * 1000n;

/** @param micros microseconds since 2000. Milliseconds since 1970 */
export const fromPostgresMicros = (micros: bigint): number => Number(micros / 1000n) + POSTGRES_EPOCH_MS;
