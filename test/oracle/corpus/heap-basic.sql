-- Heap: INSERT, INSERT+INIT, UPDATE, UPDATE+INIT, HOT_UPDATE, DELETE, with old tuples and keys (REPLICA IDENTITY),
-- prefix and suffix compression of updates; TRUNCATE; SMGR CREATE; Transaction COMMIT with dropped relations.
DROP TABLE IF EXISTS heap_basic;
CREATE TABLE heap_basic (id integer PRIMARY KEY, a integer, b text, c text);
INSERT INTO heap_basic SELECT i, i % 10, md5(i::text), repeat('x', (random() * 300)::int) FROM generate_series(1, 400) i;
UPDATE heap_basic SET a = a + 1 WHERE id % 3 = 0;
UPDATE heap_basic SET b = left(b, 10) || 'changed' || right(b, 10) WHERE id % 5 = 0;
UPDATE heap_basic SET id = id + 10000 WHERE id % 7 = 0;
DELETE FROM heap_basic WHERE id % 11 = 0;
ALTER TABLE heap_basic REPLICA IDENTITY FULL;
UPDATE heap_basic SET a = -a WHERE id BETWEEN 100 AND 200;
UPDATE heap_basic SET c = NULL WHERE id BETWEEN 150 AND 250;
DELETE FROM heap_basic WHERE id BETWEEN 120 AND 160;
ALTER TABLE heap_basic REPLICA IDENTITY NOTHING;
DELETE FROM heap_basic WHERE id BETWEEN 220 AND 230;
ALTER TABLE heap_basic REPLICA IDENTITY DEFAULT;
ALTER TABLE heap_basic ADD COLUMN d integer DEFAULT 5, ADD COLUMN e timestamptz DEFAULT clock_timestamp();
UPDATE heap_basic SET d = d * 2, e = NULL WHERE id % 4 = 1;
ALTER TABLE heap_basic DROP COLUMN c;
-- Many columns: a tuple header with a long null bitmap.
DROP TABLE IF EXISTS heap_wide;
DO $$ BEGIN EXECUTE 'CREATE TABLE heap_wide (' || (SELECT string_agg('c' || i || ' integer', ',') FROM generate_series(1, 200) i) || ')'; END $$;
INSERT INTO heap_wide (c1, c100, c200) SELECT i, i, i FROM generate_series(1, 60) i;
UPDATE heap_wide SET c50 = c1, c150 = NULL, c200 = NULL;
DELETE FROM heap_wide WHERE c1 % 2 = 0;
-- A row for each page, so that an update starts a new one.
DROP TABLE IF EXISTS heap_sparse;
CREATE TABLE heap_sparse (id integer, v text) WITH (fillfactor = 10);
ALTER TABLE heap_sparse ALTER v SET STORAGE plain;
INSERT INTO heap_sparse SELECT i, wide_text(i, 3000 + i) FROM generate_series(1, 20) i;
UPDATE heap_sparse SET v = v || wide_text(id, 3000);
BEGIN;
INSERT INTO heap_sparse SELECT i, 'rolled back' FROM generate_series(1, 20) i;
UPDATE heap_sparse SET id = -id;
ROLLBACK;
BEGIN;
CREATE TABLE heap_fleeting AS SELECT i FROM generate_series(1, 500) i;
TRUNCATE heap_fleeting;
INSERT INTO heap_fleeting VALUES (1);
DROP TABLE heap_fleeting;
COMMIT;
TRUNCATE heap_wide;
TRUNCATE heap_sparse RESTART IDENTITY CASCADE;
