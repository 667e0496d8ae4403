import { z } from 'zod';
import { lsnSchema, tenantIdSchema, timelineIdSchema, wholeNumberSchema } from './api-values.ts';
import { ENDPOINT_STATES, operationErrorSchema, SUBJECT_STATES, startStepsSchema } from './control-api.ts';
import { branchIdSchema, endpointIdSchema, nameSchema, portSchema } from './control-api-values.ts';

/** What the control plane's API tells of nodes, and of how far each part is on each branch. */

export const NODE_KINDS = ['pageserver', 'safekeeper'] as const;
export type NodeKind = (typeof NODE_KINDS)[number];

const nodeIdSchema = z.int().min(1).max(0x7fff_ffff);

export const nodeSchema = z
  .object({
    kind: z.enum(NODE_KINDS),
    id: nodeIdSchema,
    pgHost: z.string().min(1).max(255),
    pgPort: portSchema.min(1),
    httpUrl: z.url({ protocol: /^https?$/ }).max(512),
    isSchedulable: z.boolean().describe('Whether new tenants and timelines are placed on it'),
  })
  .meta({ id: 'Node' });
export type ControlNode = z.output<typeof nodeSchema>;

export const nodeListSchema = z.object({ nodes: z.array(nodeSchema) });
export const nodeParamsSchema = z.object({
  kind: z.enum(NODE_KINDS),
  node: z.string().regex(/^[1-9][0-9]{0,9}$/),
});
export const nodePutSchema = nodeSchema
  .omit({ kind: true, id: true })
  .extend({ isSchedulable: z.boolean().default(true) })
  .meta({ id: 'NodePut' });

const reasonSchema = z.string().describe('Why it could not be asked');

export const safekeeperPositionSchema = z.object({
  id: nodeIdSchema,
  term: wholeNumberSchema.nullable(),
  flushLsn: lsnSchema.nullable(),
  commitLsn: lsnSchema.nullable(),
  backupLsn: lsnSchema.nullable().describe('WAL below is in the bucket'),
  error: reasonSchema.nullable(),
});
export type SafekeeperPosition = z.output<typeof safekeeperPositionSchema>;

export const pageserverPositionSchema = z.object({
  id: nodeIdSchema,
  lastRecordLsn: lsnSchema.nullable(),
  diskConsistentLsn: lsnSchema.nullable(),
  remoteConsistentLsn: lsnSchema.nullable().describe('Layers of all below are in the bucket'),
  error: reasonSchema.nullable(),
});
export type PageserverPosition = z.output<typeof pageserverPositionSchema>;

export const branchStatusSchema = z
  .object({
    projectId: tenantIdSchema,
    project: nameSchema,
    branchId: branchIdSchema,
    branch: nameSchema,
    timelineId: timelineIdSchema,
    state: z.enum(SUBJECT_STATES),
    computeLsn: lsnSchema.nullable().describe('Commit LSN of the compute that runs; null: none does'),
    safekeepers: z.array(safekeeperPositionSchema),
    pageserver: pageserverPositionSchema.nullable(),
    headLsn: lsnSchema.nullable().describe('The highest LSN that anybody says is committed'),
    bucketLsn: lsnSchema.nullable().describe('Up to here the bucket alone is enough'),
    bytesBeyondBucket: wholeNumberSchema
      .nullable()
      .describe('Of WAL: lost if the bucket were all that is left'),
    endpoints: z.array(
      z.object({
        id: endpointIdSchema,
        kind: z.string(),
        state: z.enum(ENDPOINT_STATES),
        port: portSchema.nullable(),
        error: operationErrorSchema.nullable().describe('Why it is failed'),
        startSteps: startStepsSchema,
      }),
    ),
  })
  .meta({ id: 'BranchStatus' });
export type BranchStatus = z.output<typeof branchStatusSchema>;

export const systemStatusSchema = z
  .object({
    version: z.string(),
    nodes: z.array(nodeSchema.extend({ isReachable: z.boolean(), error: reasonSchema.nullable() })),
    branches: z.array(branchStatusSchema),
    operationsUnfinished: wholeNumberSchema,
  })
  .meta({ id: 'SystemStatus' });
export type SystemStatus = z.output<typeof systemStatusSchema>;
