-- Database: CREATE_FILE_COPY, CREATE_WAL_LOG, DROP; ALTER DATABASE ... SET TABLESPACE (a copy and a drop).
-- Tablespace: CREATE, DROP, in place. Names are fixed: run beside itself, one of the two fails.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE corpus_space LOCATION '';
CREATE DATABASE corpus_copied STRATEGY file_copy TEMPLATE template0;
DROP DATABASE IF EXISTS corpus_logged;
CREATE DATABASE corpus_logged STRATEGY wal_log TEMPLATE template1;
ALTER DATABASE corpus_copied SET TABLESPACE corpus_space;
ALTER DATABASE corpus_copied RENAME TO corpus_moved;
ALTER DATABASE corpus_moved SET TABLESPACE pg_default;
DROP DATABASE IF EXISTS corpus_moved;
DROP DATABASE IF EXISTS corpus_copied;
CREATE DATABASE corpus_spaced STRATEGY wal_log TABLESPACE corpus_space;
DROP DATABASE IF EXISTS corpus_spaced;
DROP TABLESPACE IF EXISTS corpus_space;
