import type { PostgresVersion } from '../versions/version.ts';
import { FORK_MAIN } from '../wal/record-header.ts';
import { DEFAULT_TABLESPACE, GLOBAL_TABLESPACE, type RelationLocator } from './relation-locator.ts';

/** forkNames (relpath.c), by fork number. The main fork's name does not appear in file names. */
export const FORK_NAMES = ['main', 'fsm', 'vm', 'init'] as const;

/** RELSEG_SIZE as compiled in by default: blocks of a full segment file (1 GiB). */
export const RELATION_SEGMENT_BLOCKS = 131_072;

/** One file of a relation. */
export interface RelationFile {
  readonly relation: RelationLocator;
  readonly fork: number;
  /** Which gibibyte of the fork. */
  readonly segment: number;
  /** Number of the backend whose temporary relation it is; undefined for permanent and unlogged ones. */
  readonly temporaryBackend: number | undefined;
}

/** TABLESPACE_VERSION_DIRECTORY: the directory that this version has in each tablespace. */
export function tablespaceVersionDirectory(version: PostgresVersion): string {
  return `PG_${version.major}_${version.catalogVersion}`;
}

/** GetDatabasePath (relpath.c), relative to the data directory. */
export function formatDatabasePath(version: PostgresVersion, tablespace: number, database: number): string {
  if (tablespace === GLOBAL_TABLESPACE) return 'global';
  if (tablespace === DEFAULT_TABLESPACE) return `base/${database}`;
  return `pg_tblspc/${tablespace}/${tablespaceVersionDirectory(version)}/${database}`;
}

/** GetRelationPath (relpath.c) and _mdfd_segpath (md.c), relative to the data directory. */
export function formatRelationPath(version: PostgresVersion, file: RelationFile): string {
  const { relation, fork, segment, temporaryBackend } = file;
  const prefix = temporaryBackend === undefined ? '' : `t${temporaryBackend}_`;
  const suffix = fork === FORK_MAIN ? '' : `_${FORK_NAMES[fork]}`;
  const segmentSuffix = segment === 0 ? '' : `.${segment}`;
  const directory = formatDatabasePath(version, relation.tablespace, relation.database);
  return `${directory}/${prefix}${relation.relation}${suffix}${segmentSuffix}`;
}

const UINT32_MAX = 0xffff_ffff;

/** Decimal digits without a leading zero, that fit 32 bits; undefined for anything else. */
function parseNumber(text: string): number | undefined {
  const value = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : UINT32_MAX + 1;
  return value > UINT32_MAX ? undefined : value;
}

/** Tablespace and database of a directory, or undefined for one that holds no relations. */
export function parseDatabasePath(
  version: PostgresVersion,
  path: string,
): { readonly tablespace: number; readonly database: number } | undefined {
  if (path === 'global') return { tablespace: GLOBAL_TABLESPACE, database: 0 };
  const parts = path.split('/');
  if (parts.length === 2 && parts[0] === 'base') {
    const database = parseNumber(parts[1] as string);
    return database === undefined ? undefined : { tablespace: DEFAULT_TABLESPACE, database };
  }
  if (parts.length !== 4 || parts[0] !== 'pg_tblspc' || parts[2] !== tablespaceVersionDirectory(version)) {
    return undefined;
  }
  const tablespace = parseNumber(parts[1] as string);
  const database = parseNumber(parts[3] as string);
  return tablespace === undefined || database === undefined ? undefined : { tablespace, database };
}

/**
 * What a file name within a database's directory stands for, or undefined where the server would not take it for a
 * relation's file (reinit.c, parse_filename_for_nontemp_relation; fd.c, looks_like_temp_rel_name).
 */
export function parseRelationFileName(
  name: string,
): { relation: number; fork: number; segment: number; temporaryBackend: number | undefined } | undefined {
  const match = /^(?:t([0-9]{1,10})_)?([1-9][0-9]*)(?:_(fsm|vm|init))?(?:\.([1-9][0-9]*))?$/.exec(name);
  if (match === null) return undefined;
  const [, backend, relationText, forkName, segmentText] = match;
  const relation = parseNumber(relationText as string);
  const segment = segmentText === undefined ? 0 : parseNumber(segmentText);
  if (relation === undefined || segment === undefined) return undefined;
  const fork =
    forkName === undefined ? FORK_MAIN : FORK_NAMES.indexOf(forkName as (typeof FORK_NAMES)[number]);
  return { relation, fork, segment, temporaryBackend: backend === undefined ? undefined : Number(backend) };
}

/** The inverse of formatRelationPath: undefined for a path that is no relation's file. */
export function parseRelationPath(version: PostgresVersion, path: string): RelationFile | undefined {
  const slash = path.lastIndexOf('/');
  if (slash < 0) return undefined;
  const directory = parseDatabasePath(version, path.slice(0, slash));
  const name = parseRelationFileName(path.slice(slash + 1));
  if (directory === undefined || name === undefined) return undefined;
  const { relation, fork, segment, temporaryBackend } = name;
  return { relation: { ...directory, relation }, fork, segment, temporaryBackend };
}
