-- Heap2: REWRITE (a table that logical decoding treats as a catalog is written anew while a logical slot exists),
-- NEW_CID. Making a slot waits for all transactions under way.
SET statement_timeout = '4s';
SELECT pg_create_logical_replication_slot('corpus_rewrite', 'test_decoding');
DROP TABLE IF EXISTS catalog_like;
CREATE TABLE catalog_like (id integer PRIMARY KEY, v text) WITH (user_catalog_table = true);
INSERT INTO catalog_like SELECT i, 'v' || i FROM generate_series(1, 100) i;
UPDATE catalog_like SET v = 'w' WHERE id % 2 = 0;
DELETE FROM catalog_like WHERE id % 3 = 0;
VACUUM FULL catalog_like;
UPDATE catalog_like SET v = 'z' WHERE id % 5 = 0;
CLUSTER catalog_like USING catalog_like_pkey;
SELECT count(*) FROM pg_logical_slot_get_changes('corpus_rewrite', NULL, 1000);
SELECT pg_drop_replication_slot('corpus_rewrite');
VACUUM FULL catalog_like;
