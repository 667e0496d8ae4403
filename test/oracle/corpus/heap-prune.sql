-- Heap2: PRUNE_ON_ACCESS, PRUNE_VACUUM_SCAN (with and without freezing), PRUNE_VACUUM_CLEANUP, VISIBLE.
-- Heap: HOT_UPDATE, INPLACE (VACUUM, ANALYZE). SMGR TRUNCATE. XLOG FPI_FOR_HINT.
DROP TABLE IF EXISTS heap_prune;
CREATE TABLE heap_prune (id integer PRIMARY KEY, n integer, v text) WITH (fillfactor = 60, autovacuum_enabled = off);
CREATE INDEX heap_prune_n ON heap_prune (n);
INSERT INTO heap_prune SELECT i, i % 20, md5(i::text) FROM generate_series(1, 600) i;
UPDATE heap_prune SET v = md5(v) WHERE id <= 300;
UPDATE heap_prune SET v = md5(v) WHERE id <= 300;
SELECT count(v) FROM heap_prune;
UPDATE heap_prune SET v = md5(v) WHERE id <= 300;
UPDATE heap_prune SET v = md5(v) WHERE id <= 200;
SELECT count(v) FROM heap_prune;
CHECKPOINT;
SELECT count(*) FROM heap_prune WHERE v > 'a';
DELETE FROM heap_prune WHERE id % 4 = 0;
VACUUM (INDEX_CLEANUP off) heap_prune;
DELETE FROM heap_prune WHERE id % 4 = 1;
VACUUM (INDEX_CLEANUP on) heap_prune;
UPDATE heap_prune SET n = n + 1 WHERE id % 4 = 2;
VACUUM (FREEZE) heap_prune;
INSERT INTO heap_prune SELECT i, 0, 'again' FROM generate_series(2000, 2100) i;
VACUUM (DISABLE_PAGE_SKIPPING) heap_prune;
UPDATE heap_prune SET v = 'f' WHERE id = 3;
DELETE FROM heap_prune WHERE id > 100;
VACUUM (TRUNCATE on, ANALYZE) heap_prune;
BEGIN;
INSERT INTO heap_prune SELECT i, 1, 'aborted' FROM generate_series(3000, 3200) i;
ROLLBACK;
VACUUM (FREEZE, TRUNCATE on) heap_prune;
-- Without indexes dead tuples go in one pass.
DROP TABLE IF EXISTS heap_prune_bare;
CREATE TABLE heap_prune_bare (id integer, v text) WITH (autovacuum_enabled = off);
INSERT INTO heap_prune_bare SELECT i, md5(i::text) FROM generate_series(1, 500) i;
DELETE FROM heap_prune_bare WHERE id % 2 = 0;
VACUUM heap_prune_bare;
DELETE FROM heap_prune_bare;
VACUUM heap_prune_bare;
ANALYZE heap_prune;
