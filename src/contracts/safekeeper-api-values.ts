import { z } from 'zod';
import { lsnSchema, orIssue, timestampSchema, wholeNumberSchema } from './api-values.ts';
import { checkMembership, type MembershipConfiguration } from './membership.ts';
import type { PageserverFeedback } from './pageserver-feedback.ts';

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
