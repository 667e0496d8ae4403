-- Tablespace: CREATE, DROP, in place; relations created in one and moved between them (XLOG FPI, Storage CREATE).
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE corpus_first LOCATION '';
CREATE TABLESPACE corpus_second LOCATION '';
DROP TABLE IF EXISTS spaced, spaced_unlogged;
CREATE TABLE spaced (id integer, v text) TABLESPACE corpus_first;
CREATE INDEX spaced_id ON spaced (id) TABLESPACE corpus_second;
INSERT INTO spaced SELECT i, wide_text(i, 100) FROM generate_series(1, 200) i;
ALTER TABLE spaced SET TABLESPACE corpus_second;
ALTER INDEX spaced_id SET TABLESPACE corpus_first;
UPDATE spaced SET id = id + 1;
CREATE UNLOGGED TABLE spaced_unlogged (id integer PRIMARY KEY, v text) TABLESPACE corpus_first;
INSERT INTO spaced_unlogged SELECT i, 'u' FROM generate_series(1, 50) i;
ALTER TABLE spaced_unlogged SET TABLESPACE pg_default;
VACUUM FULL spaced;
ALTER TABLE spaced SET TABLESPACE pg_default;
ALTER INDEX spaced_id SET TABLESPACE pg_default;
DROP TABLESPACE corpus_first;
DROP TABLESPACE corpus_second;
