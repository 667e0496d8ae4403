-- Btree: DEDUP, INSERT_POST, SPLIT_L and SPLIT_R with a posting list in the way, VACUUM that rewrites posting lists.
DROP TABLE IF EXISTS duplicates;
CREATE TABLE duplicates (id integer, d integer, v text) WITH (autovacuum_enabled = off, fillfactor = 100);
CREATE INDEX duplicates_d ON duplicates (d);
INSERT INTO duplicates SELECT i, i % 3, (i % 5)::text FROM generate_series(1, 1200) i;
-- Freed places in the heap are used again: their row identifiers fall within posting lists.
DELETE FROM duplicates WHERE id % 2 = 0;
VACUUM duplicates;
INSERT INTO duplicates SELECT i, i % 3, (i % 5)::text FROM generate_series(10001, 10700) i;
DELETE FROM duplicates WHERE id % 3 = 0;
VACUUM duplicates;
INSERT INTO duplicates SELECT i, (random() * 3)::int, 'x' FROM generate_series(20001, 20400) i;
DELETE FROM duplicates WHERE d = 1 AND id % 7 <> 0;
VACUUM duplicates;
REINDEX INDEX duplicates_d;
INSERT INTO duplicates SELECT i, 1, 'y' FROM generate_series(30001, 30300) i;
-- Every second place of the heap is used again, for a value that is already there: the new row identifiers fall between
-- those of full leaf pages, which are split in the middle of posting lists.
DROP TABLE IF EXISTS between_duplicates;
CREATE TABLE between_duplicates (id integer, d integer) WITH (autovacuum_enabled = off);
CREATE INDEX ON between_duplicates (d);
INSERT INTO between_duplicates SELECT i, i % 2 FROM generate_series(1, 4000) i;
DELETE FROM between_duplicates WHERE d = 0;
CALL await_horizon();
VACUUM between_duplicates;
INSERT INTO between_duplicates SELECT i, 1 FROM generate_series(1, 2000) i;
