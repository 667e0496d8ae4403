-- Btree: DELETE (of entries that scans have marked dead, and bottom-up before a split of versions), with posting
-- lists among them.
DROP TABLE IF EXISTS deletion;
CREATE TABLE deletion (id integer PRIMARY KEY, n integer, v text) WITH (autovacuum_enabled = off, fillfactor = 40);
CREATE INDEX deletion_n ON deletion (n);
CREATE INDEX deletion_v ON deletion (v);
INSERT INTO deletion SELECT i, 0, 'v' || i % 10 FROM generate_series(1, 100) i;
-- Versions: each update changes n, so that v and id get equal entries that only versions need.
DO $$ BEGIN
  FOR i IN 1..8 LOOP
    UPDATE deletion SET n = i;
    COMMIT;
  END LOOP;
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
DELETE FROM deletion WHERE id % 2 = 0;
CALL await_horizon();
SELECT count(*) FROM (SELECT * FROM deletion WHERE id > 0 ORDER BY id) s;
SELECT count(*) FROM (SELECT * FROM deletion WHERE v >= 'v' ORDER BY v) s;
SELECT count(*) FROM (SELECT * FROM deletion WHERE id > 0 ORDER BY id) s;
INSERT INTO deletion SELECT i, 1, 'v' || i % 10 FROM generate_series(201, 520) i;
DELETE FROM deletion WHERE id BETWEEN 250 AND 500;
CALL await_horizon();
SELECT count(*) FROM (SELECT * FROM deletion WHERE id > 0 ORDER BY id) s;
SELECT count(*) FROM (SELECT * FROM deletion WHERE v >= 'v' ORDER BY v) s;
SELECT count(*) FROM (SELECT * FROM deletion WHERE n >= 0 ORDER BY n) s;
INSERT INTO deletion SELECT i, 1, 'v' || i % 10 FROM generate_series(250, 500) i;
UPDATE deletion SET n = n + 1 WHERE id BETWEEN 300 AND 400;
