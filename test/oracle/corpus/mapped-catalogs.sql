-- RelMap: UPDATE of the database's map and of the shared one: mapped catalogs and their indexes written anew.
SET lock_timeout = '500ms';
VACUUM FULL pg_class;
REINDEX INDEX pg_class_oid_index;
REINDEX TABLE pg_attribute;
VACUUM FULL pg_proc;
VACUUM FULL pg_database;
REINDEX TABLE pg_authid;
REINDEX INDEX pg_shdepend_reference_index;
CLUSTER pg_type USING pg_type_oid_index;
CLUSTER pg_class USING pg_class_oid_index;
VACUUM FULL pg_statistic;
