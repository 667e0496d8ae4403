/** Which relation: RelFileLocator (relfilelocator.h). `database` is 0 for shared relations. */
export interface RelationLocator {
  readonly tablespace: number;
  readonly database: number;
  /** relNumber: the file's number, not the relation's OID in the catalog. */
  readonly relation: number;
}

/** Bytes of a RelFileLocator in WAL: tablespace 4 + database 4 + relation 4. */
export const RELATION_LOCATOR_BYTES = 12;

/** pg_default (pg_tablespace.dat). */
export const DEFAULT_TABLESPACE = 1663;
/** pg_global: the shared relations. */
export const GLOBAL_TABLESPACE = 1664;
