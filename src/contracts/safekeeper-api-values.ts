import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { formatLsn, type Lsn, parseLsn } from '../base/lsn.ts';
import { checkMembership, type MembershipConfiguration } from './membership.ts';
import type { PageserverFeedback } from './pageserver-feedback.ts';

/**
 * The values that JSON has no type for. Each is a codec: `decode` takes what came over the wire, `encode` gives what
 * goes out.
 */

/** A codec that decodes by a function of ours: the error that it throws becomes an issue of the schema. */
function textCodec<Value>(
  decode: (text: string) => Value,
  encode: (value: Value) => string,
  isValue: (value: unknown) => boolean,
) {
  return z.codec(z.string(), z.custom<Value>(isValue), {
    decode: (text, context) => orIssue(() => decode(text), text, context),
    encode,
  });
}

function orIssue<Value>(
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

const memberSchema = z.object({
  id: wholeNumberSchema,
  host: z.string().min(1),
  pg_port: z.int().min(1).max(65_535),
});

type Member = z.output<typeof memberSchema>;

const membershipJsonSchema = z.object({
  generation: wholeNumberSchema.max(0xffff_ffff),
  members: z.array(memberSchema),
  new_members: z.array(memberSchema).nullish(),
});

const decodeMember = ({ id, host, pg_port }: Member) => ({ id, host, pgPort: pg_port });

function decodeMembership(json: z.output<typeof membershipJsonSchema>): MembershipConfiguration {
  const configuration = {
    generation: json.generation,
    members: json.members.map(decodeMember),
    newMembers: json.new_members?.map(decodeMember),
  };
  checkMembership(configuration);
  return configuration;
}

const encodeMember = ({ id, host, pgPort }: MembershipConfiguration['members'][number]): Member => ({
  id,
  host,
  pg_port: pgPort,
});

export const membershipSchema = z
  .codec(
    membershipJsonSchema,
    z.custom<MembershipConfiguration>((value) => typeof value === 'object' && value !== null),
    {
      decode: (json, context) => orIssue(() => decodeMembership(json), json, context),
      encode: ({ generation, members, newMembers }) => ({
        generation,
        members: members.map(encodeMember),
        new_members: newMembers?.map(encodeMember) ?? null,
      }),
    },
  )
  .meta({ id: 'Configuration', description: 'Who keeps a timeline; joint while new_members is set' });

/** Milliseconds from 1970-01-01 to 2000-01-01, PostgreSQL's own epoch. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** Milliseconds since 1970-01-01 UTC, as RFC 3339. */
export const timestampSchema = z
  .codec(z.iso.datetime({ offset: true }), z.number(), {
    decode: (text) => Date.parse(text),
    encode: (timeMs) => new Date(timeMs).toISOString(),
  })
  .meta({ id: 'Timestamp', type: 'string', format: 'date-time' });

const feedbackJsonSchema = z.object({
  current_timeline_size: wholeNumberSchema,
  last_received_lsn: lsnSchema,
  disk_consistent_lsn: lsnSchema,
  remote_consistent_lsn: lsnSchema,
  replytime: timestampSchema,
  shard_number: wholeNumberSchema.default(0),
  corruption_detected: z.boolean().default(false),
});

export const pageserverFeedbackSchema = z
  .codec(
    feedbackJsonSchema,
    z.custom<PageserverFeedback>((value) => typeof value === 'object' && value !== null),
    {
      decode: (json) => ({
        currentTimelineSizeBytes: json.current_timeline_size,
        lastReceivedLsn: json.last_received_lsn,
        diskConsistentLsn: json.disk_consistent_lsn,
        remoteConsistentLsn: json.remote_consistent_lsn,
        replyTime: BigInt(json.replytime - POSTGRES_EPOCH_MS) * 1000n,
        shardNumber: json.shard_number,
        corruptionDetected: json.corruption_detected,
      }),
      encode: (feedback) => ({
        current_timeline_size: feedback.currentTimelineSizeBytes,
        last_received_lsn: feedback.lastReceivedLsn,
        disk_consistent_lsn: feedback.diskConsistentLsn,
        remote_consistent_lsn: feedback.remoteConsistentLsn,
        replytime: Number(feedback.replyTime / 1000n) + POSTGRES_EPOCH_MS,
        shard_number: feedback.shardNumber,
        corruption_detected: feedback.corruptionDetected,
      }),
    },
  )
  .meta({ id: 'PageserverFeedback' });
