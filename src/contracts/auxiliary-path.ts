/** How objects are named that a compute keeps in storage beside WAL. */
import {
  formatRelationPath,
  parseRelationPath,
  RELATION_SEGMENT_BLOCKS,
} from '../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import type { PostgresVersion } from '../postgres/versions/version.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP } from '../postgres/wal/record-header.ts';

/** PGSTAT_STAT_PERMANENT_FILENAME (pgstat.h): the cumulative statistics, which a server writes when it is shut down. */
export const STATISTICS_PATH = 'pg_stat/pgstat.stat';
/** The same, as zstd packs it: what is kept of it in storage, and what a start set brings. */
export const PACKED_STATISTICS_PATH = 'pg_stat/pgstat.stat.zst';
/** A free space map is kept in parts of so much of its file, so that a change of a large one stays small. */
export const FREE_SPACE_MAP_PART_BYTES: number = 1024 * 1024;
const PARTS_MAX: number = (RELATION_SEGMENT_BLOCKS * BLOCK_BYTES) / FREE_SPACE_MAP_PART_BYTES;

/** A part of the free space map of a relation that is not temporary. */
export interface FreeSpaceMapPart {
  readonly relation: RelationLocator;
  /** Which file of the map. */
  readonly segment: number;
  /** Which part of that file, from 0. */
  readonly part: number;
}

/** Where the map's file lies, relative to the data directory. */
export function freeSpaceMapFile(
  version: PostgresVersion,
  { relation, segment }: Pick<FreeSpaceMapPart, 'relation' | 'segment'>,
): string {
  return formatRelationPath(version, {
    relation,
    fork: FORK_FREE_SPACE_MAP,
    segment,
    temporaryBackend: undefined,
  });
}

/** The map's file, a slash, and the number of the part. */
export function formatFreeSpaceMapPart(version: PostgresVersion, part: FreeSpaceMapPart): string {
  return `${freeSpaceMapFile(version, part)}/${part.part}`;
}

/** undefined for any path that formatFreeSpaceMapPart does not give. */
export function parseFreeSpaceMapPart(version: PostgresVersion, path: string): FreeSpaceMapPart | undefined {
  const slash = path.lastIndexOf('/');
  const number = path.slice(slash + 1);
  const file = slash < 0 ? undefined : parseRelationPath(version, path.slice(0, slash));
  if (file === undefined || file.fork !== FORK_FREE_SPACE_MAP || file.temporaryBackend !== undefined) {
    return undefined;
  }
  if (!/^(0|[1-9][0-9]{0,3})$/.test(number) || Number(number) >= PARTS_MAX) return undefined;
  return { relation: file.relation, segment: file.segment, part: Number(number) };
}
