-- Hash: INIT_META_PAGE, INIT_BITMAP_PAGE, INSERT, ADD_OVFL_PAGE, SPLIT_ALLOCATE_PAGE, SPLIT_PAGE, SPLIT_COMPLETE,
-- DELETE, SPLIT_CLEANUP, UPDATE_META_PAGE. The server guesses few rows of
-- the wide column, so it begins with few buckets; a low fill factor makes them split soon.
DROP TABLE IF EXISTS hashed;
CREATE TABLE hashed (id integer, k integer, filler char(1500)) WITH (autovacuum_enabled = off);
CREATE INDEX hashed_k ON hashed USING hash (k) WITH (fillfactor = 10);
INSERT INTO hashed SELECT i, i FROM generate_series(1, 800) i;
DELETE FROM hashed WHERE id % 3 = 0;
VACUUM hashed;
INSERT INTO hashed SELECT i, i % 40 FROM generate_series(1001, 1500) i;
DELETE FROM hashed WHERE k % 2 = 0;
VACUUM hashed;
DROP TABLE IF EXISTS hashed_built;
CREATE TABLE hashed_built AS SELECT i AS id, md5(i::text) AS k FROM generate_series(1, 500) i;
CREATE INDEX ON hashed_built USING hash (k);
INSERT INTO hashed_built SELECT i, md5(i::text) FROM generate_series(500, 900) i;
-- The server believes in many rows: with more than 512 buckets they come in phases of a group.
DROP TABLE IF EXISTS hashed_many;
CREATE TABLE hashed_many (k integer) WITH (autovacuum_enabled = off);
INSERT INTO hashed_many SELECT i FROM generate_series(1, 400) i;
UPDATE pg_class SET reltuples = 300000, relpages = 2 WHERE oid = 'hashed_many'::regclass;
CREATE INDEX ON hashed_many USING hash (k) WITH (fillfactor = 100);
INSERT INTO hashed_many SELECT i FROM generate_series(401, 600) i;
