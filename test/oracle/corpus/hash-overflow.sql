-- Hash: ADD_OVFL_PAGE, SQUEEZE_PAGE, MOVE_PAGE_CONTENTS, DELETE, VACUUM_ONE_PAGE. Few values with long chains.
DROP TABLE IF EXISTS overflow;
CREATE TABLE overflow (id integer, k integer) WITH (autovacuum_enabled = off);
CREATE INDEX overflow_k ON overflow USING hash (k);
INSERT INTO overflow SELECT i, i % 2 FROM generate_series(1, 300) i;
INSERT INTO overflow SELECT i, 7 FROM generate_series(1, 900) i;
DELETE FROM overflow WHERE id % 10 <> 0 AND id > 200;
CALL await_horizon();
VACUUM overflow;
INSERT INTO overflow SELECT i, 7 FROM generate_series(1, 600) i;
-- Entries that a scan has marked dead are removed by an insert that finds the page full.
DELETE FROM overflow WHERE k = 7 AND id % 2 = 0;
CALL await_horizon();
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM (SELECT * FROM overflow WHERE k = 7) s;
SELECT count(*) FROM (SELECT * FROM overflow WHERE k = 7) s;
INSERT INTO overflow SELECT i, 7 FROM generate_series(1, 600) i;
-- Pages that are part full: what the last one holds goes to several others.
DELETE FROM overflow WHERE k = 7 AND random() < 0.4;
CALL await_horizon();
VACUUM overflow;
DELETE FROM overflow;
VACUUM overflow;
