import { z } from 'zod';
import { flagSchema, lsnSchema, tenantIdSchema, timelineIdSchema, timestampSchema } from './api-values.ts';
import {
  branchIdSchema,
  endpointIdSchema,
  nameSchema,
  operationIdSchema,
  passwordSchema,
  portSchema,
  referenceSchema,
  roleNameSchema,
  serverSettingsSchema,
  suspendAfterSchema,
} from './control-api-values.ts';

/**
 * What goes over the control plane's HTTP API, `/api/v1`: docs/control.md. Values are decoded; `z.output` of a schema is the
 * type that the program works with.
 */

export const CONTROL_API = '/api/v1';

const SEGMENT_BYTES = z.int().positive();
const majorSchema = z.int().min(14).max(99);

/** A step of an operation is something that can be done again. */
export const OPERATION_STATES = ['running', 'undoing', 'done', 'failed'] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

export const operationErrorSchema = z.object({ kind: z.string(), code: z.string(), message: z.string() });
export type OperationError = z.output<typeof operationErrorSchema>;

export const operationSchema = z
  .object({
    id: operationIdSchema,
    kind: z.string(),
    projectId: tenantIdSchema,
    branchId: branchIdSchema.nullable(),
    endpointId: endpointIdSchema.nullable(),
    state: z.enum(OPERATION_STATES).describe('failed: it was undone, and nothing of it is left'),
    step: z.string().nullable().describe('What it is at, or was last'),
    attempts: z.int().nonnegative(),
    error: operationErrorSchema.nullable().describe('Of the last attempt that failed'),
    createdAt: timestampSchema,
    finishedAt: timestampSchema.nullable(),
  })
  .meta({ id: 'Operation' });
export type Operation = z.output<typeof operationSchema>;

export const SUBJECT_STATES = ['creating', 'ready', 'replacing', 'deleting'] as const;
export type SubjectState = (typeof SUBJECT_STATES)[number];

export const projectSchema = z
  .object({
    id: tenantIdSchema.describe("The tenant's id in storage, too"),
    name: nameSchema,
    pgMajor: majorSchema,
    walSegmentBytes: SEGMENT_BYTES,
    state: z.enum(SUBJECT_STATES),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Project' });
export type Project = z.output<typeof projectSchema>;

export const branchSchema = z
  .object({
    id: branchIdSchema.describe('Stays the same when the branch gets another timeline'),
    projectId: tenantIdSchema,
    name: nameSchema,
    timelineId: timelineIdSchema,
    parentId: branchIdSchema.nullable(),
    ancestorLsn: lsnSchema
      .nullable()
      .describe('Where it left its parent; null of a root, or while that is not known'),
    isDefault: z.boolean(),
    isProtected: z.boolean(),
    expiresAt: timestampSchema.nullable(),
    state: z.enum(SUBJECT_STATES),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Branch' });
export type Branch = z.output<typeof branchSchema>;

export const ENDPOINT_KINDS = ['primary', 'read-only'] as const;
export type EndpointKind = (typeof ENDPOINT_KINDS)[number];

export const ENDPOINT_STATES = [
  'creating',
  'stopped',
  'starting',
  'active',
  'suspending',
  'suspended',
  'stopping',
  'failed',
  'deleting',
] as const;
export type EndpointState = (typeof ENDPOINT_STATES)[number];

export const startStepsSchema = z
  .array(z.object({ step: z.string(), ms: z.number() }))
  .describe('Of the last start, one after another');

export const endpointSchema = z
  .object({
    id: endpointIdSchema,
    projectId: tenantIdSchema,
    branchId: branchIdSchema,
    kind: z.enum(ENDPOINT_KINDS),
    lsn: lsnSchema.nullable().describe('What a read-only one shows; null: it follows the branch'),
    time: timestampSchema.nullable().describe('From which the LSN was found'),
    host: z.string(),
    port: portSchema.nullable().describe('null before the first start, where none was asked for'),
    suspendAfterSeconds: suspendAfterSchema,
    settings: serverSettingsSchema,
    state: z.enum(ENDPOINT_STATES),
    error: operationErrorSchema.nullable().describe('Why it is failed'),
    startSteps: startStepsSchema,
    lastActiveAt: timestampSchema.nullable(),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Endpoint' });
export type Endpoint = z.output<typeof endpointSchema>;

export const roleSchema = z
  .object({
    name: roleNameSchema,
    hasPassword: z.boolean(),
    superuser: z.boolean(),
    createdb: z.boolean(),
    createrole: z.boolean(),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Role' });
export type Role = z.output<typeof roleSchema>;

/** The operation is over where the state of what it is about says so; else it goes on, and can be asked for. */
const withOperation = <Name extends string, Schema extends z.ZodType>(name: Name, schema: Schema) =>
  z.object({ [name]: schema, operationId: operationIdSchema.nullable() } as Record<Name, Schema> & {
    operationId: z.ZodNullable<typeof operationIdSchema>;
  });

export const projectAnswerSchema = withOperation('project', projectSchema).meta({ id: 'ProjectAnswer' });
export type ProjectAnswer = z.output<typeof projectAnswerSchema>;
export const branchAnswerSchema = withOperation('branch', branchSchema).meta({ id: 'BranchAnswer' });
export type BranchAnswer = z.output<typeof branchAnswerSchema>;
export const endpointAnswerSchema = withOperation('endpoint', endpointSchema).meta({ id: 'EndpointAnswer' });
export type EndpointAnswer = z.output<typeof endpointAnswerSchema>;
/** Of a deletion: `isGone`, or it goes on. */
export const deletionAnswerSchema = z
  .object({ isGone: z.boolean(), operationId: operationIdSchema })
  .meta({ id: 'DeletionAnswer' });
export type DeletionAnswer = z.output<typeof deletionAnswerSchema>;
/** The password is told this once: only its verifier is kept. */
export const roleAnswerSchema = z
  .object({ role: roleSchema, password: z.string().nullable().describe('Where one was made up') })
  .meta({ id: 'RoleAnswer' });

export const projectListSchema = z.object({ projects: z.array(projectSchema) });
export const branchListSchema = z.object({ branches: z.array(branchSchema) });
export const endpointListSchema = z.object({ endpoints: z.array(endpointSchema) });
export const roleListSchema = z.object({ roles: z.array(roleSchema) });
export const operationListSchema = z.object({ operations: z.array(operationSchema) });

export const projectParamsSchema = z.object({ project: referenceSchema });
export const branchParamsSchema = projectParamsSchema.extend({ branch: referenceSchema });
export const endpointParamsSchema = projectParamsSchema.extend({ endpoint: referenceSchema });
export const roleParamsSchema = projectParamsSchema.extend({ role: z.string().min(1).max(256) });
export const operationParamsSchema = z.object({ operation: operationIdSchema });

export const projectCreateSchema = z
  .strictObject({
    name: nameSchema,
    pgMajor: majorSchema.optional().describe('17 where it is left out'),
    branchName: nameSchema.optional().describe('Of the first branch: main where it is left out'),
  })
  .meta({ id: 'ProjectCreate' });
export type ProjectCreate = z.output<typeof projectCreateSchema>;

export const projectPatchSchema = z
  .strictObject({ name: nameSchema.optional() })
  .meta({ id: 'ProjectPatch' });
export type ProjectPatch = z.output<typeof projectPatchSchema>;

const notBoth = 'an LSN or a time, and not both';
const isAtOne = ({ lsn, time }: { lsn?: unknown; time?: unknown }): boolean =>
  lsn === undefined || time === undefined;

export const branchCreateSchema = z
  .strictObject({
    name: nameSchema.optional().describe('Made up where it is left out'),
    parent: referenceSchema
      .optional()
      .describe("Id or name: the project's default branch where it is left out"),
    lsn: lsnSchema.optional(),
    time: timestampSchema.optional(),
    expiresAt: timestampSchema.optional(),
    protected: z.boolean().optional(),
  })
  .refine(isAtOne, notBoth)
  .meta({ id: 'BranchCreate', description: "At its parent's head, an LSN or a time" });
export type BranchCreate = z.output<typeof branchCreateSchema>;

export const branchPatchSchema = z
  .strictObject({
    name: nameSchema.optional(),
    protected: z.boolean().optional(),
    expiresAt: timestampSchema.nullable().optional().describe('null: never'),
  })
  .meta({ id: 'BranchPatch' });
export type BranchPatch = z.output<typeof branchPatchSchema>;

export const branchResetSchema = z
  .strictObject({ keepAs: nameSchema.optional().describe('What was on the branch is kept under this name') })
  .meta({ id: 'BranchReset' });
export type BranchReset = z.output<typeof branchResetSchema>;

export const branchRestoreSchema = z
  .strictObject({
    lsn: lsnSchema.optional(),
    time: timestampSchema.optional(),
    keepAs: nameSchema
      .optional()
      .describe('For the old head; made of the name and the time where it is left out'),
  })
  .refine(isAtOne, notBoth)
  .refine(({ lsn, time }) => lsn !== undefined || time !== undefined, 'an LSN or a time is needed')
  .meta({ id: 'BranchRestore' });
export type BranchRestore = z.output<typeof branchRestoreSchema>;

export const endpointCreateSchema = z
  .strictObject({
    kind: z.enum(ENDPOINT_KINDS).optional().describe('primary where it is left out'),
    lsn: lsnSchema.optional(),
    time: timestampSchema.optional(),
    port: portSchema.optional().describe('0, or left out: a free one'),
    suspendAfterSeconds: suspendAfterSchema.optional(),
    settings: serverSettingsSchema.optional(),
    start: z.boolean().optional().describe('true where it is left out'),
  })
  .refine(isAtOne, notBoth)
  .refine(
    ({ kind, lsn, time }) => kind === 'read-only' || (lsn === undefined && time === undefined),
    'only a read-only endpoint shows an LSN or a time',
  )
  .meta({ id: 'EndpointCreate' });
export type EndpointCreate = z.output<typeof endpointCreateSchema>;

export const endpointPatchSchema = z
  .strictObject({
    suspendAfterSeconds: suspendAfterSchema.optional(),
    settings: serverSettingsSchema.optional(),
    port: portSchema.optional(),
  })
  .meta({ id: 'EndpointPatch', description: 'It holds from the next start on' });
export type EndpointPatch = z.output<typeof endpointPatchSchema>;

export const roleCreateSchema = z
  .strictObject({
    name: roleNameSchema,
    password: passwordSchema
      .nullable()
      .optional()
      .describe('Made up where it is left out; null: it has none'),
    superuser: z.boolean().optional(),
    createdb: z.boolean().optional(),
    createrole: z.boolean().optional(),
  })
  .meta({ id: 'RoleCreate' });
export type RoleCreate = z.output<typeof roleCreateSchema>;

export const rolePatchSchema = z
  .strictObject({ password: passwordSchema.nullable().optional() })
  .meta({ id: 'RolePatch', description: 'Without a password one is made up' });
export type RolePatch = z.output<typeof rolePatchSchema>;

export const operationQuerySchema = z.object({ unfinished: flagSchema.optional() });
