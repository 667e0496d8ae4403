-- Gin: INSERT_LISTPAGE, UPDATE_META_PAGE, DELETE_LISTPAGE, INSERT, SPLIT of entry pages.
DROP TABLE IF EXISTS pending;
CREATE TABLE pending (id integer, words text[], t tsvector) WITH (autovacuum_enabled = off);
CREATE INDEX pending_words ON pending USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 64);
CREATE INDEX pending_t ON pending USING gin (t) WITH (gin_pending_list_limit = 256);
INSERT INTO pending SELECT i, ARRAY['w' || i % 10, wide_text(i % 60, 400)], to_tsvector('simple', 'alpha beta g' || i % 30)
  FROM generate_series(1, 150) i;
SELECT gin_clean_pending_list('pending_words');
-- A row with more keys than a list page holds.
INSERT INTO pending SELECT 0, array_agg(wide_text(i, 300)), 'a b c' FROM generate_series(1, 80) i;
VACUUM pending;
INSERT INTO pending SELECT i, ARRAY['w' || i], to_tsvector('simple', repeat('word' || i || ' other' || i || ' ', 3)) FROM generate_series(151, 260) i;
ANALYZE pending;
DELETE FROM pending WHERE id % 2 = 0;
VACUUM pending;
ALTER INDEX pending_words SET (fastupdate = off);
INSERT INTO pending SELECT i, ARRAY['w' || i % 10, wide_text(i, 200)], NULL FROM generate_series(300, 340) i;
