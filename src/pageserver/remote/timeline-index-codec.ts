import { z } from 'zod';
import { crc32c } from '../../base/crc32c.ts';
import { AssertionError, CorruptionError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import {
  countSchema,
  decodeFrame,
  decodeJson,
  firstLine,
  lsnSchema,
  lsnText,
  type TextFormat,
  u64Schema,
} from './checked-text.ts';
import { GENERATION_MAX, isGeneration } from './generation.ts';
import { isLayerBaseName } from './layer-base-name.ts';
import {
  assertIndexHead,
  findHeadFault,
  type IndexHead,
  type IndexLayer,
  type TimelineIndex,
} from './timeline-index.ts';

/** Some two million layers. */
export const TIMELINE_INDEX_BYTES_MAX: number = 256 * 1024 * 1024;
/** So many layers are encoded or decoded in one go, which takes well below a millisecond. */
const LAYERS_AT_ONCE = 500;
const BYTES_AT_ONCE: number = 64 * 1024;
const LINE_FEED = 10;

const FORMAT: TextFormat = {
  name: 'varve-timeline-index',
  version: 2,
  olderVersions: [1],
  errorCode: 'BAD_TIMELINE_INDEX',
  bytesMax: TIMELINE_INDEX_BYTES_MAX,
};

const tenantIdSchema = z.string().transform((text) => parseTenantId(text));
const timelineIdSchema = z.string().transform((text) => parseTimelineId(text));

const headSchema = z.strictObject({
  tenantId: tenantIdSchema,
  timelineId: timelineIdSchema,
  generation: z.number().int().min(1).max(GENERATION_MAX),
  postgresMajor: z.number().int().min(1).max(999),
  systemIdentifier: u64Schema,
  walSegmentBytes: z
    .number()
    .int()
    .min(1024 * 1024)
    .max(1024 * 1024 * 1024)
    .refine((bytes) => (bytes & (bytes - 1)) === 0, 'no power of two'),
  hasDataChecksums: z.boolean(),
  ancestor: z
    .strictObject({ timelineId: timelineIdSchema, lsn: lsnSchema, recordStartLsn: lsnSchema })
    .nullable(),
  initialLsn: lsnSchema,
  diskConsistentLsn: lsnSchema,
  previousRecordLsn: lsnSchema,
  gcCutoffLsn: lsnSchema,
  leasedLsns: z.array(lsnSchema),
  deletedAtMs: countSchema.nullable(),
  archivedAtMs: countSchema.nullable(),
  isGcBlocked: z.boolean(),
  detachedFrom: z
    .strictObject({
      timelineId: timelineIdSchema,
      lsn: lsnSchema,
      edgeLsns: z.array(lsnSchema).min(1),
      branches: z.array(timelineIdSchema),
      isComplete: z.boolean(),
    })
    .nullable(),
  layerCount: countSchema,
});

/** Version 1 knows nothing of leases, of blocked collections, and of timelines that have lost their ancestor. */
const headSchemaOfVersion1 = headSchema
  .omit({ leasedLsns: true, isGcBlocked: true, detachedFrom: true })
  .transform((head) => ({ ...head, leasedLsns: [], isGcBlocked: false, detachedFrom: null }));

/** Lets others run: the clock door's. */
export type YieldToOthers = () => Promise<void>;

/**
 * An index as its object has it, in pieces. Lets others run in between, so that it takes no longer than a moment at a
 * time, however many layers there are; `index` must not change before it is done.
 *
 * @param generation of who writes it
 */
export async function encodeTimelineIndex(
  head: IndexHead,
  layers: readonly IndexLayer[],
  generation: number,
  yieldToOthers: YieldToOthers,
): Promise<Uint8Array[]> {
  assertIndexHead(head);
  const encoder = new TextEncoder();
  const pieces = [encoder.encode(encodeHead(head, layers.length, generation))];
  let crc = crc32c(pieces[0] as Uint8Array);
  let lengthBytes = (pieces[0] as Uint8Array).length;
  for (let start = 0; start < layers.length; start += LAYERS_AT_ONCE) {
    await yieldToOthers();
    let text = '';
    const end = Math.min(start + LAYERS_AT_ONCE, layers.length);
    for (let index = start; index < end; index++) {
      const { name, sizeBytes, generation } = layers[index] as IndexLayer;
      text += `["${name}",${sizeBytes},${generation}]\n`;
    }
    const piece = encoder.encode(text);
    crc = crc32c(piece, 0, piece.length, crc);
    lengthBytes += piece.length;
    pieces.push(piece);
  }
  if (lengthBytes > TIMELINE_INDEX_BYTES_MAX)
    throw new AssertionError('an index grows beyond what can be read');
  return [firstLine(FORMAT, crc, lengthBytes), ...pieces];
}

function encodeHead(head: IndexHead, layerCount: number, generation: number): string {
  const { ancestor, detachedFrom } = head;
  const fields = {
    tenantId: head.tenantId,
    timelineId: head.timelineId,
    generation,
    postgresMajor: head.postgresMajor,
    systemIdentifier: head.systemIdentifier.toString(),
    walSegmentBytes: head.walSegmentBytes,
    hasDataChecksums: head.hasDataChecksums,
    ancestor:
      ancestor === undefined
        ? null
        : {
            timelineId: ancestor.timelineId,
            lsn: lsnText(ancestor.lsn),
            recordStartLsn: lsnText(ancestor.recordStartLsn),
          },
    initialLsn: lsnText(head.initialLsn),
    diskConsistentLsn: lsnText(head.diskConsistentLsn),
    previousRecordLsn: lsnText(head.previousRecordLsn),
    gcCutoffLsn: lsnText(head.gcCutoffLsn),
    leasedLsns: head.leasedLsns.map(lsnText),
    deletedAtMs: head.deletedAtMs ?? null,
    archivedAtMs: head.archivedAtMs ?? null,
    isGcBlocked: head.isGcBlocked,
    detachedFrom:
      detachedFrom === undefined
        ? null
        : {
            timelineId: detachedFrom.timelineId,
            lsn: lsnText(detachedFrom.lsn),
            edgeLsns: detachedFrom.edgeLsns.map(lsnText),
            branches: detachedFrom.branches,
            isComplete: detachedFrom.isComplete,
          },
    layerCount,
  };
  return `${JSON.stringify(fields)}\n`;
}

export interface DecodedIndex extends TimelineIndex {
  /** Of who wrote it. */
  readonly generation: number;
}

/**
 * An index from its object's bytes, which must not change before it is done. Lets others run in between.
 * @param file the object's key, for errors
 * @throws CorruptionError BAD_TIMELINE_INDEX; VarveError ‘precondition’ / UNKNOWN_FORMAT_VERSION
 */
export async function decodeTimelineIndex(
  bytes: Uint8Array,
  file: string,
  yieldToOthers: YieldToOthers,
): Promise<DecodedIndex> {
  const frame = decodeFrame(FORMAT, bytes, file);
  await checkCrc(bytes, frame.start, frame.crc, file, yieldToOthers);
  const headEnd = bytes.indexOf(LINE_FEED, frame.start);
  if (headEnd < 0) throw damaged('it has no line of fields', file);
  const schema = frame.version === 1 ? headSchemaOfVersion1 : headSchema;
  const fields = decodeJson(FORMAT, schema, bytes.subarray(frame.start, headEnd), file);
  const { generation, layerCount, ...rest } = fields;
  const head: IndexHead = {
    ...rest,
    ancestor: rest.ancestor ?? undefined,
    deletedAtMs: rest.deletedAtMs ?? undefined,
    archivedAtMs: rest.archivedAtMs ?? undefined,
    detachedFrom: rest.detachedFrom ?? undefined,
  };
  const fault = findHeadFault(head);
  if (fault !== undefined) throw damaged(fault, file);
  const layers = new Map<string, IndexLayer>();
  for (let start = headEnd + 1; start < bytes.length; ) {
    await yieldToOthers();
    start = decodeLayers(bytes, start, layers, generation, file);
  }
  if (layers.size !== layerCount)
    throw damaged(`it has ${layers.size} layers, ${layerCount} should be`, file);
  return { head, layers, generation };
}

const damaged = (reason: string, file: string): CorruptionError =>
  new CorruptionError(FORMAT.errorCode, reason, { file });

async function checkCrc(
  bytes: Uint8Array,
  start: number,
  wanted: number,
  file: string,
  yieldToOthers: YieldToOthers,
): Promise<void> {
  let crc = 0;
  for (let at = start; at < bytes.length; at += BYTES_AT_ONCE) {
    if (at > start) await yieldToOthers();
    crc = crc32c(bytes, at, Math.min(at + BYTES_AT_ONCE, bytes.length), crc);
  }
  if (crc !== wanted) throw damaged('the CRC is wrong', file);
}

/** Decodes some whole lines, and says where the next one begins. */
function decodeLayers(
  bytes: Uint8Array,
  start: number,
  layers: Map<string, IndexLayer>,
  indexGeneration: number,
  file: string,
): number {
  const lineFeed = bytes.lastIndexOf(LINE_FEED, Math.min(start + BYTES_AT_ONCE, bytes.length) - 1);
  if (lineFeed < start) throw damaged(`the line at ${start} does not end`, file);
  const text = new TextDecoder('latin1').decode(bytes.subarray(start, lineFeed));
  let lines: unknown;
  try {
    lines = JSON.parse(`[${text.replaceAll('\n', ',')}]`);
  } catch (error) {
    throw new CorruptionError(FORMAT.errorCode, 'a line is no JSON', { file, offset: start }, error);
  }
  for (const line of lines as unknown[]) {
    const layer = toLayer(line, indexGeneration);
    if (layer === undefined) throw damaged(`this is no layer: ${JSON.stringify(line).slice(0, 200)}`, file);
    if (layers.has(layer.name)) throw damaged(`layer ${layer.name} is named twice`, file);
    layers.set(layer.name, layer);
  }
  return lineFeed + 1;
}

function toLayer(line: unknown, indexGeneration: number): IndexLayer | undefined {
  if (!Array.isArray(line) || line.length !== 3) return undefined;
  const [name, sizeBytes, generation] = line as [unknown, unknown, unknown];
  if (typeof name !== 'string' || !isLayerBaseName(name)) return undefined;
  if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) return undefined;
  if (typeof generation !== 'number' || !isGeneration(generation)) return undefined;
  return generation > indexGeneration ? undefined : { name, sizeBytes, generation };
}
