import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { TarEntry } from '../../base/tar/tar-reader.ts';
import { BACKUP_LABEL_PATH } from '../../postgres/files/backup-label.ts';
import { CONTROL_FILE_BYTES, CONTROL_FILE_PATH } from '../../postgres/files/control-file.ts';
import {
  parseDatabasePath,
  parseRelationPath,
  RELATION_SEGMENT_BLOCKS,
} from '../../postgres/files/relation-file-name.ts';
import { RELATION_MAP_FILE } from '../../postgres/files/relation-map-file.ts';
import { REPLICATION_ORIGINS_PATH } from '../../postgres/files/replication-origins-file.ts';
import { parseSlruSegmentPath, SLRU_PAGES_PER_SEGMENT } from '../../postgres/files/slru.ts';
import { TWO_PHASE_DIRECTORY } from '../../postgres/files/two-phase-file.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { SEGMENT_BYTES_MAX } from '../../postgres/wal/page-header.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP } from '../../postgres/wal/record-header.ts';
import { isSegmentName } from '../../postgres/wal/segment-name.ts';
import type { ArchivePlace } from './receive-archive.ts';

export const VERSION_FILE = 'PG_VERSION';
/** Where the segments are, in a cluster and where an archive of them goes. */
export const WAL_DIRECTORY = 'pg_wal';
const TABLESPACE_DIRECTORY = 'pg_tblspc';
const TABLESPACE_MAP = 'tablespace_map';

const MEBIBYTE = 1024 * 1024;
/** Files of which nobody knows how long they may be: the bound is where no sound one is. */
const SMALL_FILE_BYTES_MAX: number = 64 * MEBIBYTE;
const TEXT_BYTES_MAX: number = 64 * 1024;

const SIZE_MAX_BY_PATH: Readonly<Record<string, number>> = {
  [VERSION_FILE]: TEXT_BYTES_MAX,
  [BACKUP_LABEL_PATH]: TEXT_BYTES_MAX,
  [CONTROL_FILE_PATH]: CONTROL_FILE_BYTES,
  [REPLICATION_ORIGINS_PATH]: SMALL_FILE_BYTES_MAX,
};

/**
 * Which entries of a cluster's archive are received: those that an import reads. A server's settings are not among them,
 * nor what it makes anew.
 * @throws VarveError ‘precondition’ / CLUSTER_HAS_TABLESPACES; CorruptionError BAD_ARCHIVE for links
 */
export function placeInCluster(
  version: PostgresVersion,
  { type, name, sizeBytes }: TarEntry,
): ArchivePlace | undefined {
  const isTablespace = name.startsWith(`${TABLESPACE_DIRECTORY}/`);
  if (isTablespace || (name === TABLESPACE_MAP && sizeBytes > 0)) {
    throw new VarveError(
      'precondition',
      'CLUSTER_HAS_TABLESPACES',
      `a cluster with tablespaces cannot be imported: "${name}"`,
    );
  }
  refuseLink(type, name);
  const sizeBytesMax = type === 'file' ? sizeBytesMaxOf(version, name) : undefined;
  return sizeBytesMax === undefined ? undefined : { path: name, sizeBytesMax };
}

/** undefined: an import has no use for the file. */
function sizeBytesMaxOf(version: PostgresVersion, name: string): number | undefined {
  if (Object.hasOwn(SIZE_MAX_BY_PATH, name)) return SIZE_MAX_BY_PATH[name];
  const slash = name.lastIndexOf('/');
  const [parent, last] = [name.slice(0, Math.max(slash, 0)), name.slice(slash + 1)];
  if (parent === WAL_DIRECTORY) return isSegmentName(last) ? SEGMENT_BYTES_MAX : undefined;
  if (parent === TWO_PHASE_DIRECTORY) return /^[0-9A-F]+$/.test(last) ? SMALL_FILE_BYTES_MAX : undefined;
  if (parseSlruSegmentPath(name) !== undefined) return SLRU_PAGES_PER_SEGMENT * BLOCK_BYTES;
  if (parseDatabasePath(version, parent) === undefined) return undefined;
  if (last === RELATION_MAP_FILE) return BLOCK_BYTES;
  const file = parseRelationPath(version, name);
  const isWanted =
    file !== undefined && file.temporaryBackend === undefined && file.fork !== FORK_FREE_SPACE_MAP;
  return isWanted ? RELATION_SEGMENT_BLOCKS * BLOCK_BYTES : undefined;
}

/** Of an archive of WAL, in which segments lie by themselves or as in a cluster. @throws CorruptionError BAD_ARCHIVE for links */
export function placeInWal(
  isWanted: (segmentName: string) => boolean,
  segmentBytes: number,
  { type, name }: TarEntry,
): ArchivePlace | undefined {
  refuseLink(type, name);
  const plain = name.startsWith(`${WAL_DIRECTORY}/`) ? name.slice(WAL_DIRECTORY.length + 1) : name;
  if (type !== 'file' || !isSegmentName(plain) || !isWanted(plain)) return undefined;
  return { path: plain, sizeBytesMax: segmentBytes };
}

function refuseLink(type: TarEntry['type'], name: string): void {
  if (type === 'symlink') throw new CorruptionError('BAD_ARCHIVE', `"${name}" is a symbolic link`);
}
