-- Btree with short keys: leaf splits in ascending, descending and random order, unique checks, several columns,
-- INCLUDE columns, NULLs, page deletion and reuse.
DROP TABLE IF EXISTS shallow;
CREATE TABLE shallow (id integer, a integer, b text, c numeric) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX shallow_id ON shallow (id) WITH (fillfactor = 50);
CREATE INDEX shallow_ab ON shallow (a DESC NULLS LAST, b) INCLUDE (c);
INSERT INTO shallow SELECT i, nullif((random() * 50)::int, 7), left(md5(i::text), 6), random() FROM generate_series(1, 700) i;
INSERT INTO shallow SELECT i, -i, 'd', i FROM generate_series(0, -150, -1) i;
UPDATE shallow SET a = a + 1 WHERE id % 4 = 0;
DELETE FROM shallow WHERE id BETWEEN 100 AND 700;
VACUUM shallow;
INSERT INTO shallow SELECT i, i, 'again', i FROM generate_series(100, 400) i;
INSERT INTO shallow VALUES (1, 1, 'duplicate', 1);
DELETE FROM shallow WHERE id > 150;
CALL await_horizon();
VACUUM shallow;
CALL use_transaction_ids(3);
CALL await_horizon();
VACUUM shallow;
INSERT INTO shallow SELECT i, i, 'reuse', i FROM generate_series(5000, 5400) i;
