import { type CatalogReader, text, USER_OID_MIN } from './catalog-reader.ts';

const DEPENDENCIES = `
  SELECT DISTINCT classid::regclass || ':' || objid AS key, refclassid::regclass || ':' || refobjid AS needed
  FROM pg_depend WHERE deptype IN ('n', 'a', 'i', 'P', 'S') AND objid >= ${USER_OID_MIN}
    AND (refobjid >= ${USER_OID_MIN} OR refclassid = 'pg_namespace'::regclass)`;

/** What is made with something else, and by which entry. */
const ALIASES = `
  SELECT 'pg_type:' || t.oid AS key, 'pg_class:' || c.oid AS maker
    FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid WHERE t.oid >= ${USER_OID_MIN} AND c.relkind <> 'c'
  UNION ALL SELECT 'pg_class:' || typrelid, 'pg_type:' || t.oid FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
    WHERE c.relkind = 'c'
  UNION ALL SELECT 'pg_type:' || typarray, 'pg_type:' || oid FROM pg_type WHERE typarray >= ${USER_OID_MIN}
  UNION ALL SELECT 'pg_type:' || rngmultitypid, 'pg_type:' || rngtypid FROM pg_range WHERE rngmultitypid >= ${USER_OID_MIN}
  UNION ALL SELECT 'pg_rewrite:' || oid, 'pg_class:' || ev_class FROM pg_rewrite WHERE rulename = '_RETURN'
  UNION ALL SELECT 'pg_class:' || conindid, 'pg_constraint:' || oid FROM pg_constraint WHERE contype IN ('p', 'u', 'x')
  UNION ALL SELECT 'pg_attrdef:' || d.oid, 'pg_class:' || d.adrelid FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated <> ''
  UNION ALL SELECT DISTINCT ON (objid) classid::regclass || ':' || objid, refclassid::regclass || ':' || refobjid FROM pg_depend
    WHERE (classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass) AND deptype IN ('i', 'a')
        AND refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass))
      OR (classid IN ('pg_proc'::regclass, 'pg_cast'::regclass) AND deptype = 'i' AND objid >= ${USER_OID_MIN})`;

/** Which entry makes something, and what each entry needs (pg_depend). */
export class Dependencies {
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #needed: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #reader: CatalogReader;

  private constructor(
    reader: CatalogReader,
    aliases: ReadonlyMap<string, string>,
    needed: ReadonlyMap<string, ReadonlySet<string>>,
  ) {
    this.#reader = reader;
    this.#aliases = aliases;
    this.#needed = needed;
  }

  static async read(reader: CatalogReader): Promise<Dependencies> {
    const aliases = new Map(
      (await reader.rows(ALIASES)).map((row) => [text(row, 'key'), text(row, 'maker')]),
    );
    const needed = new Map<string, Set<string>>();
    const dependencies = new Dependencies(reader, aliases, needed);
    for (const row of await reader.rows(DEPENDENCIES)) {
      const key = dependencies.makerOf(text(row, 'key'));
      const other = dependencies.makerOf(text(row, 'needed'));
      if (key === other) continue;
      const others = needed.get(key) ?? new Set();
      needed.set(key, others.add(other));
    }
    return dependencies;
  }

  /** The key of the entry, if any, that makes it. */
  makerOf(key: string): string {
    let maker = key;
    // An array of the row type of a view: a few steps, and none of them back.
    for (let next = this.#aliases.get(maker); next !== undefined; next = this.#aliases.get(maker))
      maker = next;
    return this.#reader.extensionOf(maker) ?? this.#reader.extensionOf(key) ?? maker;
  }

  neededBy(key: string): ReadonlySet<string> {
    return this.#needed.get(key) ?? new Set();
  }
}
