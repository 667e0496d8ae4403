-- Brin: REVMAP_EXTEND and moves of summaries out of its way: more ranges than one map page holds (1360).
DROP TABLE IF EXISTS brin_long;
CREATE TABLE brin_long (v text) WITH (autovacuum_enabled = off, fillfactor = 10);
ALTER TABLE brin_long ALTER v SET STORAGE plain;
CREATE INDEX brin_long_v ON brin_long USING brin (v) WITH (pages_per_range = 1);
COPY brin_long FROM PROGRAM 'seq -f "%700.0f" 1 100';
SELECT brin_summarize_new_values('brin_long_v');
COPY brin_long FROM PROGRAM 'seq -f "%750.0f" 101 1450';
SELECT brin_summarize_range('brin_long_v', 1380);
VACUUM brin_long;
DELETE FROM brin_long WHERE v::int > 20;
VACUUM brin_long;
