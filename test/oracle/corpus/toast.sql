-- Heap and Btree records of TOAST tables: INSERT, DELETE, updates that keep, replace or drop a value; vacuum of both.
DROP TABLE IF EXISTS toasted;
CREATE TABLE toasted (id integer PRIMARY KEY, e text, x text, m text, p text, j jsonb);
ALTER TABLE toasted ALTER e SET STORAGE external, ALTER x SET STORAGE extended, ALTER m SET STORAGE main, ALTER p SET STORAGE plain;
INSERT INTO toasted SELECT i, wide_text(i, 6000), wide_text(i + 1, 20000), wide_text(i + 2, 1500), wide_text(i + 3, 200),
  jsonb_build_object('a', wide_text(i, 3000)) FROM generate_series(1, 12) i;
UPDATE toasted SET p = 'short' WHERE id % 2 = 0;
UPDATE toasted SET e = wide_text(id * 7, 9000) WHERE id % 3 = 0;
UPDATE toasted SET x = NULL WHERE id % 4 = 0;
UPDATE toasted SET m = repeat(m, 4), j = j || '{"b": 1}' WHERE id % 5 = 0;
DELETE FROM toasted WHERE id % 6 = 0;
INSERT INTO toasted (id, x) SELECT i, repeat('compressible ', 3000) FROM generate_series(100, 130) i;
VACUUM toasted;
BEGIN;
UPDATE toasted SET e = wide_text(id, 5000);
ROLLBACK;
VACUUM FULL toasted;
ALTER TABLE toasted ALTER e TYPE varchar(10000) USING left(e, 4000);
DELETE FROM toasted;
VACUUM (FREEZE, PROCESS_TOAST) toasted;
