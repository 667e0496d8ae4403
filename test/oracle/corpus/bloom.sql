-- Generic: the bloom extension's index pages, built, filled and vacuumed.
DROP TABLE IF EXISTS bloomed;
CREATE TABLE bloomed (a integer, b integer, c text) WITH (autovacuum_enabled = off);
INSERT INTO bloomed SELECT i, i % 100, md5(i::text) FROM generate_series(1, 500) i;
CREATE INDEX bloomed_abc ON bloomed USING bloom (a, b, c) WITH (length = 200, col1 = 4);
CREATE INDEX bloomed_a ON bloomed USING bloom (a);
INSERT INTO bloomed SELECT i, i, 'more' FROM generate_series(501, 620) i;
DELETE FROM bloomed WHERE a % 3 = 0;
VACUUM bloomed;
INSERT INTO bloomed SELECT i, i, 'again' FROM generate_series(1, 60) i;
DELETE FROM bloomed WHERE a > 100;
VACUUM bloomed;
SET enable_seqscan = off;
SELECT count(*) FROM bloomed WHERE a = 5 AND b = 5;
