import { crc32c } from '../../../base/crc32c.ts';
import { AssertionError, CorruptionError } from '../../../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../../base/ids.ts';
import { formatLsn, toLsn } from '../../../base/lsn.ts';
import { compareKeys, KEY_BYTES, readKey, writeKey } from '../../keyspace/key.ts';
import { formatKeyRange } from '../../keyspace/key-range.ts';
import type { LayerDescription } from '../layer-description.ts';
import {
  badLayer,
  FRAME_BYTES,
  HEADER_BYTES,
  INDEX_ROWS,
  isExactU64,
  LAYER_FORMAT_VERSION,
  LAYER_FORMAT_VERSION_OLDEST,
  readU64,
  writeU64,
} from './layout.ts';

/** Whose layer it is. */
export interface LayerOwner {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** A layer as those know it who want to read it. */
export interface LayerIdentity extends LayerOwner {
  readonly description: LayerDescription;
}

/** What a layer file says of itself. */
export interface LayerHeader extends LayerIdentity {
  /** PostgreSQL's major version, for those who look at the records. */
  readonly postgresMajor: number;
  readonly valueCount: number;
  /** How many different keys the values have. */
  readonly keyCount: number;
  /** Of all values together, as they are without compression. */
  readonly valueBytes: number;
  readonly dataBlockCount: number;
  readonly leafCount: number;
  /** Data blocks stand from the header up to here, then the leaves. */
  readonly indexPosition: number;
  /** The root is the last thing in the file. */
  readonly rootPosition: number;
}

/** "VARVELYR" */
const MAGIC = [0x56, 0x41, 0x52, 0x56, 0x45, 0x4c, 0x59, 0x52] as const;
const VERSION = 8;
const KIND = 10;
const POSTGRES_MAJOR = 12;
const TENANT_ID = 16;
const TIMELINE_ID = TENANT_ID + 16;
const KEYS_START = TIMELINE_ID + 16;
const KEYS_END = KEYS_START + KEY_BYTES;
const GENERATION = KEYS_END + KEY_BYTES;
/** From here on u64, one after another. */
const NUMBERS = GENERATION + 4;
const NUMBERS_COUNT = 10;
const FIELDS_END = NUMBERS + NUMBERS_COUNT * 8;
/** CRC-32C of all before it in the header's block. */
const CRC = HEADER_BYTES - 4;

const KINDS = { delta: 1, image: 2 } as const;

/** Pads the fields to a block and adds the CRC. @throws AssertionError where they do not fit */
export function sealHeader(fields: Uint8Array): Uint8Array {
  if (fields.length > CRC) {
    throw new AssertionError(`a layer's header of ${fields.length} bytes does not fit into its block`);
  }
  const block = new Uint8Array(HEADER_BYTES);
  block.set(fields);
  new DataView(block.buffer).setUint32(CRC, crc32c(block, 0, CRC));
  return block;
}

/** The block that a layer file begins with. */
export function encodeLayerHeader(header: LayerHeader): Uint8Array {
  const { description } = header;
  const fields = new Uint8Array(FIELDS_END);
  const view = new DataView(fields.buffer);
  fields.set(MAGIC);
  view.setUint16(VERSION, LAYER_FORMAT_VERSION);
  view.setUint8(KIND, KINDS[description.kind]);
  view.setUint32(POSTGRES_MAJOR, header.postgresMajor);
  fields.set(Buffer.from(header.tenantId, 'hex'), TENANT_ID);
  fields.set(Buffer.from(header.timelineId, 'hex'), TIMELINE_ID);
  writeKey(view, KEYS_START, description.keys.start);
  writeKey(view, KEYS_END, description.keys.end);
  view.setUint32(GENERATION, description.generation);
  const numbers = [
    description.lsnStart,
    description.lsnEnd,
    description.sizeBytes,
    header.valueCount,
    header.keyCount,
    header.valueBytes,
    header.dataBlockCount,
    header.leafCount,
    header.indexPosition,
    header.rootPosition,
  ];
  for (const [index, number] of numbers.entries()) writeU64(view, NUMBERS + index * 8, number);
  return sealHeader(fields);
}

/**
 * @param bytes the first HEADER_BYTES of the file, or all there is
 * @param fileBytes the file's length
 * @throws CorruptionError; with UNKNOWN_LAYER_VERSION where a later Varve has written the file
 */
export function decodeLayerHeader(bytes: Uint8Array, fileBytes: number, file: string): LayerHeader {
  if (bytes.length < HEADER_BYTES) throw badLayer(file, bytes.length, 'it ends within its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) throw badLayer(file, 0, 'this is no layer file');
  const version = view.getUint16(VERSION);
  if (version < LAYER_FORMAT_VERSION_OLDEST || version > LAYER_FORMAT_VERSION) {
    const reason = `the layer file has version ${version}, and only ${LAYER_FORMAT_VERSION_OLDEST} to ${LAYER_FORMAT_VERSION} are known`;
    throw new CorruptionError('UNKNOWN_LAYER_VERSION', reason, { file, offset: VERSION });
  }
  if (crc32c(bytes, 0, CRC) !== view.getUint32(CRC))
    throw badLayer(file, CRC, "the header's checksum is wrong");
  checkUnused(bytes, view, file);
  const header = readFields(view, file);
  checkHeader(header, fileBytes, file);
  return header;
}

function checkUnused(bytes: Uint8Array, view: DataView, file: string): void {
  const isUsed = bytes.subarray(FIELDS_END, CRC).some((byte) => byte !== 0);
  if (isUsed || view.getUint8(KIND + 1) !== 0) throw badLayer(file, KIND, 'unknown fields of a header');
  for (let at = NUMBERS; at < FIELDS_END; at += 8) {
    if (!isExactU64(view, at)) throw badLayer(file, at, 'a number is at or above 2^53');
  }
}

const hex = (view: DataView, offset: number): string =>
  Buffer.from(view.buffer, view.byteOffset + offset, 16).toString('hex');

function readFields(view: DataView, file: string): LayerHeader {
  const number = (index: number): number => readU64(view, NUMBERS + index * 8);
  const kind = view.getUint8(KIND);
  if (kind !== KINDS.delta && kind !== KINDS.image) throw badLayer(file, KIND, `unknown kind ${kind}`);
  return {
    tenantId: parseTenantId(hex(view, TENANT_ID)),
    timelineId: parseTimelineId(hex(view, TIMELINE_ID)),
    postgresMajor: view.getUint32(POSTGRES_MAJOR),
    description: {
      kind: kind === KINDS.delta ? 'delta' : 'image',
      keys: { start: readKey(view, KEYS_START), end: readKey(view, KEYS_END) },
      generation: view.getUint32(GENERATION),
      lsnStart: toLsn(number(0)),
      lsnEnd: toLsn(number(1)),
      sizeBytes: number(2),
    },
    valueCount: number(3),
    keyCount: number(4),
    valueBytes: number(5),
    dataBlockCount: number(6),
    leafCount: number(7),
    indexPosition: number(8),
    rootPosition: number(9),
  };
}

function checkHeader(header: LayerHeader, fileBytes: number, file: string): void {
  const { description, dataBlockCount, leafCount, indexPosition, rootPosition } = header;
  const { kind, keys, lsnStart, lsnEnd, sizeBytes } = description;
  const check = (isRight: boolean, offset: number, reason: string): void => {
    if (!isRight) throw badLayer(file, offset, reason);
  };
  check(sizeBytes === fileBytes, NUMBERS + 16, `it has ${fileBytes} bytes, and says ${sizeBytes}`);
  check(compareKeys(keys.start, keys.end) < 0, KEYS_START, 'its range of keys is empty');
  check(lsnStart < lsnEnd, NUMBERS, 'its range of LSNs is empty');
  check(kind === 'delta' || lsnEnd === lsnStart + 1, NUMBERS, 'an image layer has one LSN');
  const isInOrder =
    HEADER_BYTES <= indexPosition &&
    indexPosition <= rootPosition &&
    rootPosition + FRAME_BYTES + INDEX_ROWS <= sizeBytes;
  check(isInOrder, NUMBERS + 64, 'its parts do not lie one behind the other');
  const fits =
    dataBlockCount * FRAME_BYTES <= indexPosition - HEADER_BYTES &&
    leafCount * FRAME_BYTES <= rootPosition - indexPosition &&
    leafCount <= dataBlockCount &&
    dataBlockCount <= header.valueCount &&
    header.keyCount <= header.valueCount;
  check(fits, NUMBERS + 24, 'its counts cannot be');
}

/**
 * The header of a copy that belongs to another timeline of the tenant.
 * @param block of a header that has been decoded
 */
export function withOwner(block: Uint8Array, timelineId: TimelineId, generation: number): Uint8Array {
  const changed = new Uint8Array(HEADER_BYTES);
  changed.set(block.subarray(0, HEADER_BYTES));
  const view = new DataView(changed.buffer);
  changed.set(Buffer.from(timelineId, 'hex'), TIMELINE_ID);
  view.setUint32(GENERATION, generation);
  view.setUint32(CRC, crc32c(changed, 0, CRC));
  return changed;
}

/**
 * Makes sure that a file is the layer that it is taken for.
 * @throws CorruptionError (`WRONG_LAYER`)
 */
export function checkLayerIs(header: LayerHeader, wanted: LayerIdentity, file: string): void {
  const found = sayLayer(header);
  const expected = sayLayer(wanted);
  if (found === expected) return;
  throw new CorruptionError('WRONG_LAYER', `the ${expected} was wanted, and the file is the ${found}`, {
    file,
  });
}

/** All that makes it this layer. */
function sayLayer({ tenantId, timelineId, description }: LayerIdentity): string {
  const { kind, keys, lsnStart, lsnEnd, generation, sizeBytes } = description;
  return (
    `${kind} layer of tenant ${tenantId}, timeline ${timelineId}, keys ${formatKeyRange(keys)}, ` +
    `LSNs ${formatLsn(lsnStart)} to ${formatLsn(lsnEnd)}, generation ${generation}, ${sizeBytes} bytes`
  );
}
