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
