import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import type { Key } from '../keyspace/key.ts';
import type { ZeroPages } from './zero-pages.ts';

export interface MissingRelationSize {
  /** Of the fork's blocks. */
  readonly stem: number;
  readonly relation: RelationLocator;
  readonly fork: number;
}

/** Look these sizes up as of before the record, tell them by `provideRelationSize`, and ingest the record again. */
export interface MissingRelationSizes {
  readonly kind: 'relation-sizes';
  readonly relations: readonly MissingRelationSize[];
}

/** Look the value up as of before the record, tell it by `provideAuxiliaryFiles`, and ingest the record again. */
export interface MissingAuxiliaryFiles {
  readonly kind: 'auxiliary-files';
  readonly key: Key;
}

/** Call `fillZeroPages` until it says that all are there, with pauses for others, and ingest the record again. */
export interface MissingZeroPages {
  readonly kind: 'zero-pages';
  readonly pages: ZeroPages;
}

/** A database in one tablespace. */
export interface DatabasePlace {
  readonly tablespace: number;
  readonly database: number;
}

/**
 * dbase_redo, CREATE_FILE_COPY. Look up all forks and the relation map of `source`, and the forks of `target` (which
 * mostly has none), as of before the record; call `copyForks` once and `copyPage` for each block; then
 * `finishDatabaseOperation`. The record is not ingested again.
 */
export interface DatabaseCopy {
  readonly kind: 'database-copy';
  readonly source: DatabasePlace;
  readonly target: DatabasePlace;
}

/**
 * dbase_redo, DROP. Look up all forks in each of the places as of before the record and call `dropForks`; then
 * `finishDatabaseOperation`. The record is not ingested again.
 */
export interface DatabaseDrop {
  readonly kind: 'database-drop';
  /** No two are the same. */
  readonly places: readonly DatabasePlace[];
}

export type DatabaseOperation = DatabaseCopy | DatabaseDrop;

/** What ingest needs before it can take in a record, of which nothing has been done yet. */
export type Missing = MissingRelationSizes | MissingAuxiliaryFiles | MissingZeroPages | DatabaseOperation;
