-- Btree: INSERT_LEAF, INSERT_UPPER, SPLIT_L, SPLIT_R, NEWROOT, VACUUM, MARK_PAGE_HALFDEAD, UNLINK_PAGE,
-- UNLINK_PAGE_META, INSERT_META, META_CLEANUP, REUSE_PAGE. Keys of 1300 bytes: six to a page, so a few hundred rows
-- make four levels.
DROP TABLE IF EXISTS deep;
CREATE TABLE deep (id integer, k text) WITH (autovacuum_enabled = off);
ALTER TABLE deep ALTER k SET STORAGE plain;
CREATE INDEX deep_k ON deep (k);
INSERT INTO deep SELECT i, wide_text(i, 1300) FROM generate_series(1, 160) i ORDER BY random();
INSERT INTO deep SELECT i, 'zz' || lpad(i::text, 5, '0') || wide_text(i, 1200) FROM generate_series(1, 60) i;
INSERT INTO deep SELECT i, ' ' || lpad((500 - i)::text, 5, '0') || wide_text(i, 1200) FROM generate_series(1, 60) i;
DELETE FROM deep WHERE k BETWEEN '3' AND 'c';
CALL await_horizon();
VACUUM deep;
INSERT INTO deep SELECT i, wide_text(i, 1250) FROM generate_series(1000, 1040) i;
DELETE FROM deep WHERE k < 'zz00055';
CALL await_horizon();
VACUUM deep;
CALL await_horizon();
VACUUM deep;
-- Only the rightmost pages are left: the fast root has sunk. Its split makes the level above count again.
INSERT INTO deep SELECT i, 'zzz' || lpad(i::text, 5, '0') || wide_text(i, 1200) FROM generate_series(1, 60) i;
INSERT INTO deep SELECT i, wide_text(i, 1300) FROM generate_series(2000, 2060) i;
DELETE FROM deep;
CALL await_horizon();
VACUUM deep;
INSERT INTO deep SELECT i, wide_text(i, 1300) FROM generate_series(3000, 3050) i;
SELECT use_count FROM (SELECT count(*) AS use_count FROM deep WHERE k > '5') s;
