-- Gin: SPLIT and INSERT of entry pages on several levels (long keys), VACUUM_PAGE; jsonb, trigrams, btree_gin.
DROP TABLE IF EXISTS gin_entries;
CREATE TABLE gin_entries (id integer, keys text[], j jsonb, t text) WITH (autovacuum_enabled = off);
CREATE INDEX gin_entries_keys ON gin_entries USING gin (keys) WITH (fastupdate = off);
CREATE INDEX gin_entries_j ON gin_entries USING gin (j jsonb_path_ops);
CREATE INDEX gin_entries_t ON gin_entries USING gin (t gin_trgm_ops, id);
INSERT INTO gin_entries SELECT i, ARRAY[wide_text(i, 1200)], jsonb_build_object('k', i % 10), left(md5(i::text), 8)
  FROM generate_series(1, 120) i;
INSERT INTO gin_entries SELECT i, NULL, '[]', NULL FROM generate_series(1, 10) i;
INSERT INTO gin_entries SELECT i, '{}', NULL, '' FROM generate_series(1, 10) i;
UPDATE gin_entries SET keys = keys || ARRAY['common'] WHERE id % 4 = 0;
DELETE FROM gin_entries WHERE id % 3 = 0;
VACUUM gin_entries;
INSERT INTO gin_entries SELECT i, ARRAY[wide_text(i, 1100), 'common'], '{"k": [1, 2, 3]}', wide_text(i, 12) FROM generate_series(200, 230) i;
SELECT count(*) FROM gin_entries WHERE keys @> ARRAY['common'];
