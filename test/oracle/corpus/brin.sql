-- Brin: CREATE_INDEX, INSERT, UPDATE (to another page), SAMEPAGE_UPDATE, DESUMMARIZE, REVMAP_EXTEND, +INIT.
DROP TABLE IF EXISTS brinned;
CREATE TABLE brinned (id integer, t text, at timestamptz) WITH (autovacuum_enabled = off, fillfactor = 10);
ALTER TABLE brinned ALTER t SET STORAGE plain;
CREATE INDEX brinned_id ON brinned USING brin (id) WITH (pages_per_range = 1);
CREATE INDEX brinned_t ON brinned USING brin (t) WITH (pages_per_range = 1);
CREATE INDEX brinned_multi ON brinned USING brin (id int4_minmax_multi_ops (values_per_range = 16), at) WITH (pages_per_range = 4);
CREATE INDEX brinned_bloom ON brinned USING brin (id int4_bloom_ops) WITH (pages_per_range = 8);
INSERT INTO brinned SELECT i, 'm' || wide_text(i, 500), now() FROM generate_series(1, 60) i;
SELECT brin_summarize_new_values('brinned_id'), brin_summarize_new_values('brinned_t');
VACUUM brinned;
UPDATE brinned SET id = -id WHERE id % 10 = 0;
-- Longer minima and maxima: summaries that no longer fit their page.
UPDATE brinned SET t = 'a' || wide_text(id, 700) WHERE id % 3 = 0;
UPDATE brinned SET t = 'z' || wide_text(id, 900) WHERE id % 3 = 1;
INSERT INTO brinned SELECT i, 'z' || wide_text(i, 800), now() FROM generate_series(100, 130) i;
SELECT brin_summarize_range('brinned_t', 3), brin_summarize_new_values('brinned_bloom'), brin_summarize_new_values('brinned_multi');
SELECT brin_desummarize_range('brinned_id', 5), brin_desummarize_range('brinned_t', 2), brin_desummarize_range('brinned_t', 7);
SELECT brin_summarize_new_values('brinned_id'), brin_summarize_new_values('brinned_t');
DELETE FROM brinned WHERE id > 110;
VACUUM brinned;
