import { z } from 'zod';
import { tenantIdSchema, wholeNumberSchema } from './api-values.ts';
import { tenantConfigSchema } from './tenant-config.ts';
import { tenantShardIdSchema } from './tenant-shard-id.ts';

/** What goes over a pageserver's HTTP API of how a tenant is attached, and how its timelines are kept. */

export const tenantConfigAnswerSchema = z
  .object({ tenant_specific_overrides: tenantConfigSchema, effective_config: tenantConfigSchema })
  .meta({ id: 'TenantConfigAnswer' });
export type TenantConfigAnswer = z.output<typeof tenantConfigAnswerSchema>;

export const tenantConfigPutSchema = tenantConfigSchema
  .extend({ tenant_id: tenantIdSchema })
  .meta({ id: 'TenantConfigRequest' });

type ConfigShape = typeof tenantConfigSchema.shape;

const nullableShape = Object.fromEntries(
  Object.entries(tenantConfigSchema.shape).map(([name, schema]) => [name, schema.nullish()]),
) as { [Name in keyof ConfigShape]: z.ZodOptional<z.ZodNullable<ConfigShape[Name]>> };

export const tenantConfigPatchSchema = z
  .strictObject({ tenant_id: tenantIdSchema, ...nullableShape })
  .meta({ id: 'TenantConfigPatch', description: 'null removes an override; what is left out stays' });
/** null removes an override. */
export type TenantConfigPatch = Omit<z.output<typeof tenantConfigPatchSchema>, 'tenant_id'>;

const GENERATION_MAX = 0xffff_ffff;
const SHARD_MAX = 0xff;

/**
 * How a tenant is attached to a pageserver that serves it. `AttachedSingle`: to this one alone. `AttachedMulti`: others may
 * still serve it, so that no object is removed. `AttachedStale`: another one is about to take it over, or has.
 */
export const ATTACHED_MODES = ['AttachedSingle', 'AttachedMulti', 'AttachedStale'] as const;
export type AttachedMode = (typeof ATTACHED_MODES)[number];

export const LOCATION_MODES = [...ATTACHED_MODES, 'Secondary', 'Detached'] as const;

export const locationConfigSchema = z
  .strictObject({
    mode: z.enum(LOCATION_MODES),
    generation: z.int().min(0).max(GENERATION_MAX).nullish(),
    secondary_conf: z.strictObject({ warm: z.boolean() }).nullish(),
    shard_number: z.int().min(0).max(SHARD_MAX).default(0),
    shard_count: z.int().min(0).max(SHARD_MAX).default(0),
    shard_stripe_size: z.int().min(0).max(GENERATION_MAX).nullish(),
    tenant_conf: tenantConfigSchema,
  })
  .meta({ id: 'LocationConfig' });
export type LocationConfig = z.output<typeof locationConfigSchema>;

const FLUSH_MS_MAX = 600_000;

/** A whole number in a query. */
export const queryNumber = (max: number) =>
  z
    .codec(z.string().regex(/^\d{1,15}$/), z.int().nonnegative().max(max), {
      decode: Number,
      encode: String,
    })
    .meta({ type: 'integer', minimum: 0, maximum: max });

export const locationQuerySchema = z.object({
  flush_ms: queryNumber(FLUSH_MS_MAX).optional(),
  lazy: z.enum(['true', 'false']).optional(),
});

export const locationResultSchema = z
  .object({
    shards: z.array(z.object({ shard_id: tenantShardIdSchema, node_id: wholeNumberSchema })),
    stripe_size: wholeNumberSchema.nullish(),
  })
  .meta({ id: 'LocationResult' });
export type LocationResult = z.output<typeof locationResultSchema>;

/** null: it is being changed. */
export const locationListSchema = z
  .object({
    tenant_shards: z.array(z.tuple([tenantShardIdSchema, locationConfigSchema.nullable()])),
  })
  .meta({ id: 'LocationList' });
export type LocationList = z.output<typeof locationListSchema>;
