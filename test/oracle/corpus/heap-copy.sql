-- Heap2: MULTI_INSERT, MULTI_INSERT+INIT, VISIBLE; COPY FREEZE (all-frozen pages at once).
DROP TABLE IF EXISTS heap_copy, heap_copy_frozen, heap_copy_wide;
CREATE TABLE heap_copy (id integer, v text);
CREATE INDEX heap_copy_id ON heap_copy (id);
COPY heap_copy FROM PROGRAM 'i=0; while [ $i -lt 800 ]; do echo "$((i * 7919 % 1000)),row $i of a copy"; i=$((i + 1)); done'
  WITH (FORMAT csv);
COPY heap_copy (id) FROM PROGRAM 'seq 1 600';
CREATE TABLE heap_copy_wide (v text);
ALTER TABLE heap_copy_wide ALTER v SET STORAGE external;
COPY heap_copy_wide FROM PROGRAM 'seq -f "%3000.0f" 1 40';
BEGIN;
CREATE TABLE heap_copy_frozen (id integer);
COPY heap_copy_frozen FROM PROGRAM 'seq 1 2000' WITH (FREEZE);
COMMIT;
DELETE FROM heap_copy_frozen WHERE id % 300 = 0;
UPDATE heap_copy_frozen SET id = -id WHERE id % 400 = 1;
VACUUM (FREEZE) heap_copy_frozen;
-- Catalog rows come in batches too.
CREATE TYPE heap_copy_enum AS ENUM ('a', 'b', 'c', 'd', 'e');
ALTER TYPE heap_copy_enum ADD VALUE 'f' BEFORE 'a';
DROP TYPE heap_copy_enum;
CREATE TABLE copy_batches (id integer, a integer, b text, c text, d text, e text, f text, g text);
DROP TABLE copy_batches;
BEGIN;
COPY heap_copy (id) FROM PROGRAM 'seq 1 200';
ROLLBACK;
