/** A part of a canonical dump: its rows, sorted as text. Queries name no OIDs, so that a logical copy gives the same. */
export interface DumpQuery {
  readonly title: string;
  readonly text: string;
}

const OWN_SCHEMAS = "nspname !~ '^pg_(catalog|toast|temp)' AND nspname <> 'information_schema'";
/** Objects of extensions, but not what users have made, are left to the extension. */
const MADE_BY_USERS = '>= 16384';

/** Once for the cluster, from any database. */
export const CLUSTER_QUERIES: readonly DumpQuery[] = [
  {
    title: 'roles',
    text: `SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
             rolconnlimit, rolpassword, rolvaliduntil::text FROM pg_catalog.pg_authid`,
  },
  {
    title: 'role members',
    text: `SELECT roleid::regrole::text, member::regrole::text, grantor::regrole::text, admin_option, inherit_option,
             set_option FROM pg_catalog.pg_auth_members`,
  },
  {
    title: 'databases',
    text: `SELECT datname, datdba::regrole::text, pg_encoding_to_char(encoding), datlocprovider, datistemplate,
             datallowconn, datconnlimit, spcname, datcollate, datctype, datlocale, daticurules, datcollversion,
             datacl::text FROM pg_catalog.pg_database JOIN pg_catalog.pg_tablespace t ON t.oid = dattablespace`,
  },
  {
    title: 'settings of roles and databases',
    text: `SELECT datname, rolname, setconfig::text FROM pg_catalog.pg_db_role_setting
             LEFT JOIN pg_catalog.pg_database d ON d.oid = setdatabase
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = setrole`,
  },
  {
    title: 'tablespaces',
    text: `SELECT spcname, spcowner::regrole::text, spcacl::text, spcoptions::text FROM pg_catalog.pg_tablespace`,
  },
  {
    title: 'comments on shared objects',
    text: `SELECT (pg_identify_object(classoid, objoid, 0)).type, (pg_identify_object(classoid, objoid, 0)).identity,
             description FROM pg_catalog.pg_shdescription`,
  },
  {
    title: 'prepared transactions',
    text: 'SELECT gid, owner, database FROM pg_catalog.pg_prepared_xacts',
  },
  {
    title: 'replication origins',
    text: 'SELECT roname FROM pg_catalog.pg_replication_origin',
  },
];

/** In each database. */
export const CATALOG_QUERIES: readonly DumpQuery[] = [
  {
    title: 'schemas',
    text: `SELECT nspname, nspowner::regrole::text, nspacl::text FROM pg_catalog.pg_namespace WHERE ${OWN_SCHEMAS}`,
  },
  {
    title: 'extensions',
    text: `SELECT extname, extowner::regrole::text, nspname, extversion, extconfig::regclass[]::text, extcondition::text
             FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace`,
  },
  {
    title: 'relations',
    text: `SELECT c.oid::regclass::text, relkind, relpersistence, relowner::regrole::text, relacl::text,
             reloptions::text, relrowsecurity, relforcerowsecurity, relreplident, relispartition, relispopulated, amname,
             spcname, reloftype::regtype::text, pg_get_expr(relpartbound, c.oid), pg_get_partkeydef(c.oid),
             pg_get_viewdef(CASE WHEN relkind IN ('v', 'm') THEN c.oid END)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
             LEFT JOIN pg_catalog.pg_am a ON a.oid = relam LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = reltablespace
             WHERE ${OWN_SCHEMAS}`,
  },
  {
    title: 'inheritance',
    text: `SELECT inhrelid::regclass::text, inhparent::regclass::text, inhseqno, inhdetachpending
             FROM pg_catalog.pg_inherits`,
  },
  {
    title: 'columns',
    text: `SELECT attrelid::regclass::text, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attstorage,
             attcompression, attstattarget, attidentity, attgenerated, attisdropped, attislocal, attinhcount,
             collname, attacl::text, attoptions::text, attmissingval::text, pg_get_expr(adbin, adrelid)
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = attrelid
             JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
             LEFT JOIN pg_catalog.pg_collation o ON o.oid = attcollation
             LEFT JOIN pg_catalog.pg_attrdef d ON adrelid = attrelid AND adnum = attnum
             WHERE attnum > 0 AND ${OWN_SCHEMAS}`,
  },
  {
    title: 'constraints',
    text: `SELECT conrelid::regclass::text, contypid::regtype::text, conname, pg_get_constraintdef(oid), convalidated,
             condeferrable, condeferred, conislocal, coninhcount, connoinherit FROM pg_catalog.pg_constraint
             WHERE oid ${MADE_BY_USERS}`,
  },
  {
    title: 'indexes',
    text: `SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), indisunique, indisprimary, indisexclusion,
             indimmediate, indisclustered, indisvalid, indisready, indislive, indisreplident
             FROM pg_catalog.pg_index WHERE indexrelid ${MADE_BY_USERS}
               AND indrelid NOT IN (SELECT oid FROM pg_catalog.pg_class WHERE relkind = 't')`,
  },
  {
    title: 'extended statistics',
    text: 'SELECT pg_get_statisticsobjdef(oid), stxowner::regrole::text, stxstattarget FROM pg_catalog.pg_statistic_ext',
  },
  {
    title: 'sequences',
    text: `SELECT seqrelid::regclass::text, seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin, seqcache,
             seqcycle, pg_sequence_last_value(seqrelid) FROM pg_catalog.pg_sequence
             WHERE seqrelid IN (SELECT oid FROM pg_catalog.pg_class WHERE relpersistence = 'p')
               AND seqrelid NOT IN (SELECT relation FROM pg_catalog.pg_locks
                 WHERE relation IS NOT NULL AND pid IS NULL AND mode = 'AccessExclusiveLock')`,
  },
  {
    title: 'owners of sequences',
    text: `SELECT objid::regclass::text, refobjid::regclass::text, refobjsubid, deptype FROM pg_catalog.pg_depend
             WHERE classid = 'pg_catalog.pg_class'::regclass AND refclassid = classid AND deptype IN ('a', 'i')
               AND objid IN (SELECT seqrelid FROM pg_catalog.pg_sequence)`,
  },
  {
    title: 'functions',
    text: `SELECT oid::regprocedure::text, proowner::regrole::text, proacl::text, pg_get_functiondef(oid)
             FROM pg_catalog.pg_proc WHERE prokind <> 'a' AND oid ${MADE_BY_USERS}`,
  },
  {
    title: 'aggregates',
    text: `SELECT p.oid::regprocedure::text, proowner::regrole::text, proacl::text, aggkind, aggnumdirectargs,
             aggtransfn::text, aggfinalfn::text, aggcombinefn::text, aggserialfn::text, aggdeserialfn::text,
             aggmtransfn::text, aggminvtransfn::text, aggmfinalfn::text, aggtranstype::regtype::text, agginitval
             FROM pg_catalog.pg_aggregate JOIN pg_catalog.pg_proc p ON p.oid = aggfnoid WHERE p.oid ${MADE_BY_USERS}`,
  },
  {
    title: 'types',
    text: `SELECT oid::regtype::text, typtype, typcategory, typowner::regrole::text, typacl::text, typnotnull,
             format_type(typbasetype, typtypmod), typdefault, typinput::text, typoutput::text, typlen, typbyval, typalign,
             typstorage, (SELECT array_agg(enumlabel ORDER BY enumsortorder)::text FROM pg_catalog.pg_enum
               WHERE enumtypid = t.oid), (SELECT rngsubtype::regtype::text FROM pg_catalog.pg_range WHERE rngtypid = t.oid)
             FROM pg_catalog.pg_type t WHERE oid ${MADE_BY_USERS}
               AND typnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname ~ '^pg_(toast|temp)')`,
  },
  {
    title: 'triggers',
    text: `SELECT tgrelid::regclass::text, pg_get_triggerdef(oid), tgenabled FROM pg_catalog.pg_trigger
             WHERE NOT tgisinternal`,
  },
  {
    title: 'event triggers',
    text: `SELECT evtname, evtevent, evtowner::regrole::text, evtfoid::regproc::text, evtenabled, evttags::text
             FROM pg_catalog.pg_event_trigger`,
  },
  {
    title: 'rules',
    text: `SELECT ev_class::regclass::text, rulename, ev_enabled, pg_get_ruledef(oid) FROM pg_catalog.pg_rewrite
             WHERE oid ${MADE_BY_USERS}`,
  },
  {
    title: 'policies',
    text: `SELECT polrelid::regclass::text, polname, polcmd, polpermissive, polroles::regrole[]::text,
             pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) FROM pg_catalog.pg_policy`,
  },
  {
    title: 'publications',
    text: `SELECT pubname, pubowner::regrole::text, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
             pubviaroot, (SELECT array_agg(prrelid::regclass::text ORDER BY prrelid::regclass::text)::text
               FROM pg_catalog.pg_publication_rel WHERE prpubid = p.oid) FROM pg_catalog.pg_publication p`,
  },
  {
    title: 'subscriptions',
    text: `SELECT subname, subowner::regrole::text, subenabled, subconninfo, subslotname, subpublications::text
             FROM pg_catalog.pg_subscription
             WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`,
  },
  {
    title: 'foreign data',
    text: `SELECT 'wrapper', fdwname, fdwowner::regrole::text, fdwoptions::text FROM pg_catalog.pg_foreign_data_wrapper
           UNION ALL SELECT 'server', srvname, srvowner::regrole::text, srvoptions::text FROM pg_catalog.pg_foreign_server
           UNION ALL SELECT 'table', ftrelid::regclass::text, srvname, ftoptions::text FROM pg_catalog.pg_foreign_table
             JOIN pg_catalog.pg_foreign_server s ON s.oid = ftserver`,
  },
  {
    title: 'default privileges',
    text: `SELECT defaclrole::regrole::text, nspname, defaclobjtype, defaclacl::text FROM pg_catalog.pg_default_acl
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = defaclnamespace`,
  },
  {
    title: 'other objects',
    text: `SELECT (pg_identify_object(class, id, 0)).type, (pg_identify_object(class, id, 0)).identity FROM (
             SELECT 'pg_catalog.pg_operator'::regclass, oid FROM pg_catalog.pg_operator
             UNION ALL SELECT 'pg_catalog.pg_opclass'::regclass, oid FROM pg_catalog.pg_opclass
             UNION ALL SELECT 'pg_catalog.pg_opfamily'::regclass, oid FROM pg_catalog.pg_opfamily
             UNION ALL SELECT 'pg_catalog.pg_am'::regclass, oid FROM pg_catalog.pg_am
             UNION ALL SELECT 'pg_catalog.pg_cast'::regclass, oid FROM pg_catalog.pg_cast
             UNION ALL SELECT 'pg_catalog.pg_conversion'::regclass, oid FROM pg_catalog.pg_conversion
             UNION ALL SELECT 'pg_catalog.pg_collation'::regclass, oid FROM pg_catalog.pg_collation
             UNION ALL SELECT 'pg_catalog.pg_language'::regclass, oid FROM pg_catalog.pg_language
             UNION ALL SELECT 'pg_catalog.pg_transform'::regclass, oid FROM pg_catalog.pg_transform
             UNION ALL SELECT 'pg_catalog.pg_ts_config'::regclass, oid FROM pg_catalog.pg_ts_config
             UNION ALL SELECT 'pg_catalog.pg_ts_dict'::regclass, oid FROM pg_catalog.pg_ts_dict
             UNION ALL SELECT 'pg_catalog.pg_ts_parser'::regclass, oid FROM pg_catalog.pg_ts_parser
             UNION ALL SELECT 'pg_catalog.pg_ts_template'::regclass, oid FROM pg_catalog.pg_ts_template
           ) AS objects (class, id) WHERE id ${MADE_BY_USERS}`,
  },
  {
    title: 'comments',
    text: `SELECT (pg_identify_object(classoid, objoid, objsubid)).type,
             (pg_identify_object(classoid, objoid, objsubid)).identity, description FROM pg_catalog.pg_description
             WHERE objoid ${MADE_BY_USERS} AND classoid <> 'pg_catalog.pg_largeobject'::regclass`,
  },
  {
    title: 'security labels',
    text: `SELECT (pg_identify_object(classoid, objoid, objsubid)).identity, provider, label FROM pg_catalog.pg_seclabel`,
  },
  {
    title: 'large objects',
    text: `SELECT oid, lomowner::regrole::text, lomacl::text, octet_length(lo_get(oid)), md5(lo_get(oid))
             FROM pg_catalog.pg_largeobject_metadata`,
  },
];
