import { crc32c } from '../../base/crc32c.ts';
import { BadRequestError, CorruptionError } from '../../base/errors.ts';
import type { PostgresVersion } from '../versions/version.ts';

/** RELMAPPER_FILENAME: one in each database's directory, and one in global/. */
export const RELATION_MAP_FILE = 'pg_filenode.map';

/** RELMAPPER_FILEMAGIC (relmapper.c). */
const MAGIC = 0x592717;
/** RelMapFile: magic 4, count 4, then the mappings of OID 4 + file number 4, then the CRC of all before. */
const MAPPINGS = 8;
const MAPPING_BYTES = 8;

export interface RelationMapping {
  /** OID of the catalog. */
  readonly catalog: number;
  /** Its relation file's number. */
  readonly relation: number;
}

function fail(file: string, reason: string): never {
  throw new CorruptionError('BAD_RELATION_MAP', `the relation map ${reason}`, { file });
}

function crcOffset(version: PostgresVersion): number {
  return MAPPINGS + version.relationMapEntriesMax * MAPPING_BYTES;
}

/**
 * Decodes a whole pg_filenode.map. `file` is for messages only.
 * @throws CorruptionError for a wrong length, magic number, count or CRC (relmapper.c, read_relmap_file).
 */
export function decodeRelationMap(
  version: PostgresVersion,
  bytes: Uint8Array,
  file: string = RELATION_MAP_FILE,
): RelationMapping[] {
  if (bytes.length !== version.relationMapBytes) {
    fail(file, `has ${bytes.length} bytes, not ${version.relationMapBytes}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC) fail(file, `begins with ${magic.toString(16)} instead of ${MAGIC.toString(16)}`);
  const count = view.getInt32(4, true);
  if (count < 0 || count > version.relationMapEntriesMax) fail(file, `claims to have ${count} entries`);
  const end = crcOffset(version);
  const crc = view.getUint32(end, true);
  const actual = crc32c(bytes, 0, end);
  if (crc !== actual) fail(file, `has the CRC ${crc.toString(16)}, its content gives ${actual.toString(16)}`);
  return Array.from({ length: count }, (_, index) => ({
    catalog: view.getUint32(MAPPINGS + index * MAPPING_BYTES, true),
    relation: view.getUint32(MAPPINGS + index * MAPPING_BYTES + 4, true),
  }));
}

/** The whole file, with its CRC. */
export function encodeRelationMap(
  version: PostgresVersion,
  mappings: readonly RelationMapping[],
): Uint8Array {
  if (mappings.length > version.relationMapEntriesMax) {
    throw new BadRequestError(
      'BAD_RELATION_MAP',
      `a relation map of PostgreSQL ${version.major} has at most ${version.relationMapEntriesMax} entries`,
    );
  }
  const bytes = new Uint8Array(version.relationMapBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setInt32(4, mappings.length, true);
  for (const [index, mapping] of mappings.entries()) {
    view.setUint32(MAPPINGS + index * MAPPING_BYTES, mapping.catalog, true);
    view.setUint32(MAPPINGS + index * MAPPING_BYTES + 4, mapping.relation, true);
  }
  view.setUint32(crcOffset(version), crc32c(bytes, 0, crcOffset(version)), true);
  return bytes;
}
