/** Keys of what pageservers keep in object storage, as docs/formats/timeline-index.md says. */
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { formatGeneration, parseGeneration } from './generation.ts';
import { isLayerBaseName } from './layer-base-name.ts';

export interface TimelineName {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** What lies below a timeline's prefix, by its name there. The generation is its writer's. */
export type RemoteName =
  | { readonly kind: 'layer'; readonly name: string; readonly generation: number }
  | { readonly kind: 'index'; readonly generation: number }
  /** Something that this version does not know: passed over, with a note. */
  | { readonly kind: 'unknown' };

const INDEX_NAME = 'timeline-index';
const GENERATION_LENGTH = 9;

/** All objects of a tenant, and no others, have keys that begin so. */
export const tenantPrefix = (tenantId: TenantId): string => `tenants/${tenantId}/`;

/** All objects of a timeline, and no others, have keys that begin so. */
export const timelinePrefix = ({ tenantId, timelineId }: TimelineName): string =>
  `${tenantPrefix(tenantId)}timelines/${timelineId}/`;

/** All indexes of a timeline, and nothing else that this version writes, have keys that begin so. */
export const indexPrefix = (timeline: TimelineName): string => `${timelinePrefix(timeline)}${INDEX_NAME}-`;

/** Name of a layer's object below the timeline's prefix. @param generation the layer's own, never the node's */
export const layerObjectName = (name: string, generation: number): string =>
  `${name}-${formatGeneration(generation)}`;

export const indexObjectName = (generation: number): string =>
  `${INDEX_NAME}-${formatGeneration(generation)}`;

/** @param layer its generation is the one of who wrote it, which may be older than that of who reads it */
export const layerKey = (
  timeline: TimelineName,
  { name, generation }: { readonly name: string; readonly generation: number },
): string => timelinePrefix(timeline) + layerObjectName(name, generation);

export const indexKey = (timeline: TimelineName, generation: number): string =>
  timelinePrefix(timeline) + indexObjectName(generation);

/** What an object is, by its name below the timeline's prefix. */
export function parseObjectName(objectName: string): RemoteName {
  const end = objectName.length - GENERATION_LENGTH;
  const generation = objectName[end] === '-' ? parseGeneration(objectName.slice(end + 1)) : undefined;
  if (generation === undefined) return { kind: 'unknown' };
  const name = objectName.slice(0, end);
  if (name === INDEX_NAME) return { kind: 'index', generation };
  return isLayerBaseName(name) ? { kind: 'layer', name, generation } : { kind: 'unknown' };
}
