-- Tables and indexes written anew: XLOG FPI, Storage CREATE, Heap INSERT in bulk; CLUSTER, VACUUM FULL, ALTER TYPE,
-- REINDEX; SET UNLOGGED and SET LOGGED; concurrent index builds.
DROP TABLE IF EXISTS rewritten;
CREATE TABLE rewritten (id integer PRIMARY KEY, a integer, b text, t timestamptz DEFAULT now());
INSERT INTO rewritten SELECT i, (random() * 1000)::int, wide_text(i, 40) FROM generate_series(1, 200) i;
CREATE INDEX rewritten_a ON rewritten (a);
CREATE INDEX rewritten_b ON rewritten USING hash (b);
CREATE INDEX rewritten_expression ON rewritten (lower(b), a) WHERE a > 100;
DELETE FROM rewritten WHERE id % 5 = 0;
CLUSTER rewritten USING rewritten_a;
UPDATE rewritten SET a = a + 1 WHERE id % 2 = 0;
VACUUM FULL rewritten;
ALTER TABLE rewritten ALTER a TYPE bigint;
ALTER TABLE rewritten SET UNLOGGED;
INSERT INTO rewritten SELECT i, i, 'unlogged' FROM generate_series(2000, 2100) i;
ALTER TABLE rewritten SET LOGGED;
REINDEX TABLE rewritten;
REINDEX TABLE CONCURRENTLY rewritten;
CREATE INDEX CONCURRENTLY rewritten_late ON rewritten (t, id);
UPDATE rewritten SET t = now() WHERE id % 3 = 0;
REINDEX INDEX CONCURRENTLY rewritten_late;
DROP INDEX CONCURRENTLY rewritten_late;
ALTER TABLE rewritten ADD COLUMN serial bigserial;
ALTER TABLE rewritten ADD CONSTRAINT rewritten_unique UNIQUE (serial) DEFERRABLE INITIALLY DEFERRED;
UPDATE rewritten SET serial = 1000 - serial WHERE id % 4 = 0;
