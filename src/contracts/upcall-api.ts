import { z } from 'zod';
import { wholeNumberSchema } from './api-values.ts';
import { LOCATION_MODES } from './pageserver-api-config.ts';
import { tenantShardIdSchema } from './tenant-shard-id.ts';

/**
 * What pageservers ask the control plane, below `/upcall/v1/`. Field names are those on the wire, which are Neon's
 * (upcall_api.rs); values are decoded.
 */

export const UPCALL_API = '/upcall/v1';

const GENERATION_MAX = 0xffff_ffff;
const generationSchema = z.int().min(0).max(GENERATION_MAX);

export const reAttachSchema = z
  .object({
    node_id: wholeNumberSchema,
    empty_local_disk: z.boolean().nullish(),
  })
  .meta({ id: 'ReAttachRequest' });
export type ReAttachRequest = z.output<typeof reAttachSchema>;

export const reAttachResultSchema = z
  .object({
    tenants: z.array(
      z.object({
        id: tenantShardIdSchema,
        gen: generationSchema.nullish(),
        mode: z.enum(LOCATION_MODES),
        stripe_size: wholeNumberSchema.nullish(),
      }),
    ),
  })
  .meta({ id: 'ReAttachResponse' });
export type ReAttachResult = z.output<typeof reAttachResultSchema>;

/** Most claims of one call. */
export const CLAIMS_MAX = 1000;

export const validateSchema = z
  .object({
    tenants: z.array(z.object({ id: tenantShardIdSchema, gen: generationSchema })).max(CLAIMS_MAX),
  })
  .meta({ id: 'ValidateRequest' });
export type ValidateRequest = z.output<typeof validateSchema>;

export const validateResultSchema = z
  .object({ tenants: z.array(z.object({ id: tenantShardIdSchema, valid: z.boolean() })) })
  .meta({ id: 'ValidateResponse', description: 'Tenants that are not known are left out' });
export type ValidateResult = z.output<typeof validateResultSchema>;
