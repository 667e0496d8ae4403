import { z } from 'zod';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../base/ids.ts';
import { isObjectKey } from '../../io/object-key.ts';
import { countSchema, decodeCheckedJson, encodeCheckedJson, type TextFormat } from './checked-text.ts';
import { GENERATION_MAX } from './generation.ts';
import { timelinePrefix } from './object-keys.ts';

/** The objects of one tenant in a list, and in whose name they are to go. */
export interface TenantDeletions {
  readonly tenantId: TenantId;
  readonly generation: number;
  /** Names below each timeline's prefix. */
  readonly timelines: ReadonlyMap<TimelineId, readonly string[]>;
}

/** Objects that are to be removed. */
export interface DeletionList {
  readonly sequence: number;
  /** The generations have been checked: whatever comes now, this may be executed. */
  readonly isValidated: boolean;
  readonly tenants: readonly TenantDeletions[];
}

const LIST: TextFormat = {
  name: 'varve-deletion-list',
  version: 1,
  errorCode: 'BAD_DELETION_LIST',
  bytesMax: 64 * 1024 * 1024,
};
const HEADER: TextFormat = {
  name: 'varve-deletion-header',
  version: 1,
  errorCode: 'BAD_DELETION_HEADER',
  bytesMax: 4096,
};

/** The header's file: up to which sequence number all lists are validated. */
export const DELETION_HEADER_NAME = 'header-01';
const LIST_NAME = /^([0-9a-f]{16})-01\.list$/;

export const deletionListName = (sequence: number): string =>
  `${sequence.toString(16).padStart(16, '0')}-01.list`;

/** The sequence number of a list's file; undefined where the name is none of a list. */
export function parseDeletionListName(name: string): number | undefined {
  const match = LIST_NAME.exec(name);
  if (match === null) return undefined;
  const sequence = Number.parseInt(match[1] as string, 16);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}

const tenantSchema = z
  .strictObject({
    tenantId: z.string().transform((text) => parseTenantId(text)),
    generation: z.number().int().min(1).max(GENERATION_MAX),
    timelines: z.array(
      z.strictObject({
        timelineId: z.string().transform((text) => parseTimelineId(text)),
        objects: z.array(z.string()),
      }),
    ),
  })
  .transform(({ tenantId, generation, timelines }) => ({
    tenantId,
    generation,
    timelines: new Map(timelines.map(({ timelineId, objects }) => [timelineId, objects])),
  }))
  .refine((deletions) => [...keysOfTenant(deletions)].every(isObjectKey), 'a name that no object has');

const listSchema = z.strictObject({
  sequence: countSchema,
  isValidated: z.boolean(),
  tenants: z.array(tenantSchema),
});
const headerSchema = z.strictObject({ validatedSequence: countSchema });

export function encodeDeletionList({ sequence, isValidated, tenants }: DeletionList): Uint8Array {
  return encodeCheckedJson(LIST, {
    sequence,
    isValidated,
    tenants: tenants.map(({ tenantId, generation, timelines }) => ({
      tenantId,
      generation,
      timelines: [...timelines].map(([timelineId, objects]) => ({ timelineId, objects })),
    })),
  });
}

/** @throws CorruptionError BAD_DELETION_LIST; VarveError ‘precondition’ / UNKNOWN_FORMAT_VERSION */
export const decodeDeletionList = (bytes: Uint8Array, file: string): DeletionList =>
  decodeCheckedJson(LIST, listSchema, bytes, file);

export const encodeDeletionHeader = (validatedSequence: number): Uint8Array =>
  encodeCheckedJson(HEADER, { validatedSequence });

/** @throws CorruptionError BAD_DELETION_HEADER; VarveError ‘precondition’ / UNKNOWN_FORMAT_VERSION */
export const decodeDeletionHeader = (bytes: Uint8Array, file: string): number =>
  decodeCheckedJson(HEADER, headerSchema, bytes, file).validatedSequence;

/** Whole keys of all objects of a tenant in a list. */
export function* keysOfTenant({ tenantId, timelines }: TenantDeletions): Generator<string> {
  for (const [timelineId, names] of timelines) {
    const prefix = timelinePrefix({ tenantId, timelineId });
    for (const name of names) yield prefix + name;
  }
}

export function* keysOfList({ tenants }: Pick<DeletionList, 'tenants'>): Generator<string> {
  for (const tenant of tenants) yield* keysOfTenant(tenant);
}
