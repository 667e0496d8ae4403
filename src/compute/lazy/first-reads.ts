/**
 * Relations of which a server reads blocks one after the other at its start, in the first session, and in the first statement
 * that looks at a table: caches of the catalogs, and what finds rows in them. By the numbers that their files have in a
 * new cluster, which they keep unless somebody rewrites a catalog (pg_filenode.map then says otherwise, and that one is
 * read when it is read).
 */
export const READ_FIRST: ReadonlySet<number> = new Set([
  // pg_class, pg_attribute, pg_type, and their indexes
  ...[1259, 2662, 2663, 1249, 2659, 1247, 2703],
  // pg_index, pg_am, pg_opclass, pg_amproc, pg_amop, pg_operator
  ...[2610, 2679, 2678, 2601, 2616, 2687, 2686, 2603, 2655, 2602, 2654, 2617, 2688, 2689],
  // pg_proc's and pg_statistic's indexes, pg_namespace, pg_cast, pg_constraint, pg_publication and what it has
  ...[2690, 2696, 2615, 2684, 2605, 2661, 6114, 6115, 3379],
  // of all databases: pg_database, pg_authid, pg_tablespace, pg_db_role_setting
  ...[1262, 2671, 2672, 1260, 2676, 2677, 1213, 2697, 2965],
]);

/** More of one than it has in a small database is not read in a first statement. */
export const READ_FIRST_BLOCKS_MAX = 64;
/** template1 and template0, which nobody begins in (pg_database.dat). */
export const TEMPLATES: ReadonlySet<number> = new Set([1, 4]);
/** What else is read of so many databases is left for the moment when it is. */
export const READ_FIRST_DATABASES_MAX = 8;

/** They come so many at a time: what fits what a socket holds, so that nobody is woken twice for them. */
export const READ_FIRST_AROUND_BLOCKS = 16;
