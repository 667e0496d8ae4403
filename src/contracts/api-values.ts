import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { formatLsn, type Lsn, parseLsn } from '../base/lsn.ts';

/**
 * The values that JSON has no type for. Each is a codec: `decode` takes what came over the wire, `encode` gives what
 * goes out.
 */

/** A codec that decodes by a function of ours: the error that it throws becomes an issue of the schema. */
export function textCodec<Value>(
  decode: (text: string) => Value,
  encode: (value: Value) => string,
  isValue: (value: unknown) => boolean,
) {
  return z.codec(z.string(), z.custom<Value>(isValue), {
    decode: (text, context) => orIssue(() => decode(text), text, context),
    encode,
  });
}

export function orIssue<Value>(
  decode: () => Value,
  input: unknown,
  context: z.core.ParsePayload<unknown>,
): Value | typeof z.NEVER {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    context.issues.push({ code: 'custom', message: error.reason, input });
    return z.NEVER;
  }
}

const isString = (value: unknown): boolean => typeof value === 'string';

export const lsnSchema = textCodec<Lsn>(
  parseLsn,
  formatLsn,
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
).meta({
  id: 'Lsn',
  type: 'string',
  pattern: '^[0-9A-F]{1,8}/[0-9A-F]{1,8}$',
  description: 'A position in the WAL, as PostgreSQL writes it',
});

export const tenantIdSchema = textCodec<TenantId>(parseTenantId, (id) => id, isString).meta({
  id: 'TenantId',
  type: 'string',
  pattern: '^[0-9a-f]{32}$',
});

export const timelineIdSchema = textCodec<TimelineId>(parseTimelineId, (id) => id, isString).meta({
  id: 'TimelineId',
  type: 'string',
  pattern: '^[0-9a-f]{32}$',
});

/** Terms, ids of safekeepers, sizes and counts. */
export const wholeNumberSchema = z.int().nonnegative();

const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** A JSON number without loss: src/http/exact-json.ts makes bigints of the large ones. */
export const u64Schema = z
  .codec(z.union([z.int(), z.bigint()]), z.bigint().nonnegative().max(U64_MAX), {
    decode: (value) => BigInt(value),
    encode: (value) => value,
  })
  .meta({ id: 'U64', type: 'integer', minimum: 0 });

/** Milliseconds since 1970-01-01 UTC, as RFC 3339. */
export const timestampSchema = z
  .codec(z.iso.datetime({ offset: true }), z.number(), {
    decode: (text) => Date.parse(text),
    encode: (timeMs) => new Date(timeMs).toISOString(),
  })
  .meta({ id: 'Timestamp', type: 'string', format: 'date-time' });

/** A flag of a query. */
export const flagSchema = z.enum(['true', 'false']);
