import { z } from 'zod';
import { flagSchema, lsnSchema, wholeNumberSchema } from './api-values.ts';
import { shardTimelineSchema } from './pageserver-api-timeline.ts';

/** What goes over the parts of a pageserver's HTTP API that are for looking into a timeline's storage, and tidying it up. */

const inMemoryLayerSchema = z.union([
  z.strictObject({ kind: z.literal('Open'), lsn_start: lsnSchema }),
  z.strictObject({ kind: z.literal('Frozen'), lsn_start: lsnSchema, lsn_end: lsnSchema }),
]);

const layerShape = {
  layer_file_name: z.string(),
  layer_file_size: wholeNumberSchema,
  lsn_start: lsnSchema,
  remote: z.boolean().describe('Whether its file is in the bucket only'),
  generation: wholeNumberSchema,
};

const historicLayerSchema = z.union([
  z.strictObject({ kind: z.literal('Delta'), ...layerShape, lsn_end: lsnSchema, l0: z.boolean() }),
  z.strictObject({ kind: z.literal('Image'), ...layerShape }),
]);

export const layerMapSchema = z
  .object({
    in_memory_layers: z.array(inMemoryLayerSchema),
    historic_layers: z.array(historicLayerSchema),
  })
  .meta({ id: 'LayerMapInfo' });
export type LayerMapInfo = z.output<typeof layerMapSchema>;

export const layerParamsSchema = shardTimelineSchema.extend({ layer: z.string().max(256) });

/** Whether there was something to do. */
export const layerFetchSchema = z.boolean();

export const gcRequestSchema = z
  .object({ gc_horizon: wholeNumberSchema.nullish().describe('In the place of the configured one') })
  .meta({ id: 'GcRequest' });

export const gcResultSchema = z
  .object({
    layers_total: wholeNumberSchema,
    layers_removed: wholeNumberSchema,
    elapsed: wholeNumberSchema.describe('Milliseconds'),
  })
  .meta({ id: 'GcResult' });
export type GcResult = z.output<typeof gcResultSchema>;

/** Others are refused: what would have no effect is not taken. */
export const compactQuerySchema = z.strictObject({
  enhanced_gc_bottom_most_compaction: flagSchema.optional(),
  wait_until_uploaded: flagSchema.optional(),
});

export const checkpointQuerySchema = z.strictObject({
  compact: flagSchema.optional(),
  wait_until_flushed: flagSchema.optional(),
  wait_until_uploaded: flagSchema.optional(),
});

export const keyspaceQuerySchema = z.object({ at_lsn: lsnSchema.optional() });

const keySchema = z.string().regex(/^[0-9A-Fa-f]{36}$/);
const rangeSchema = z.tuple([keySchema, keySchema]).describe('The end is not in it');

export const keyspaceSchema = z
  .object({
    keys: z.array(rangeSchema),
    sparse_keys: z.array(rangeSchema).describe('Ranges of which few keys exist'),
    at_lsn: lsnSchema,
  })
  .meta({ id: 'Keyspace' });
export type Keyspace = z.output<typeof keyspaceSchema>;

export const pageQuerySchema = z.object({ key: keySchema, lsn: lsnSchema.optional() });

export const pageValueSchema = z
  .object({
    key: keySchema,
    lsn: lsnSchema,
    img: z.string().nullable().describe('Base64; null where nothing is stored under the key'),
  })
  .meta({ id: 'PageValue' });
export type PageValue = z.output<typeof pageValueSchema>;

export const auxiliaryFilesRequestSchema = z.object({ lsn: lsnSchema }).meta({ id: 'ListAuxFilesRequest' });

export const auxiliaryFilesSchema = z
  .record(z.string(), z.string().describe('Base64'))
  .meta({ id: 'AuxFiles' });
export type AuxiliaryFiles = z.output<typeof auxiliaryFilesSchema>;
