-- SPGist: ADD_LEAF, MOVE_LEAFS, ADD_NODE, SPLIT_TUPLE, PICKSPLIT, VACUUM_LEAF, VACUUM_ROOT, VACUUM_REDIRECT.
DROP TABLE IF EXISTS spgisted;
CREATE TABLE spgisted (id integer, t text) WITH (autovacuum_enabled = off);
CREATE INDEX spgisted_t ON spgisted USING spgist (t);
INSERT INTO spgisted SELECT i, 'root' || i FROM generate_series(1, 20) i;
DELETE FROM spgisted WHERE id % 2 = 0;
CALL await_horizon();
VACUUM spgisted;
INSERT INTO spgisted SELECT i, repeat('common prefix ', 20) || md5(i::text) FROM generate_series(1, 350) i;
-- Values that part from the prefix at different places: the prefix is split, nodes are added.
INSERT INTO spgisted SELECT i, left(repeat('common prefix ', 20), i * 3 % 280) || chr(33 + i % 90) || i FROM generate_series(1, 250) i;
INSERT INTO spgisted SELECT i, chr(1 + i % 250) || 'x' || i FROM generate_series(1, 150) i;
INSERT INTO spgisted SELECT i, wide_text(i, 700) FROM generate_series(1, 60) i;
INSERT INTO spgisted VALUES (0, NULL), (0, ''), (0, NULL);
DELETE FROM spgisted WHERE id % 3 = 0;
CALL use_transaction_ids(3);
CALL await_horizon();
VACUUM spgisted;
INSERT INTO spgisted SELECT i, 'common prefix ' || i FROM generate_series(1, 200) i;
VACUUM spgisted;
DELETE FROM spgisted WHERE id % 3 <> 0;
VACUUM spgisted;
INSERT INTO spgisted SELECT i, 'same' FROM generate_series(1, 300) i;
-- Nulls have a tree of their own.
DROP TABLE IF EXISTS spgisted_nulls;
CREATE TABLE spgisted_nulls (id integer, t text) WITH (autovacuum_enabled = off);
CREATE INDEX ON spgisted_nulls USING spgist (t);
INSERT INTO spgisted_nulls SELECT i, NULL FROM generate_series(1, 1000) i;
DELETE FROM spgisted_nulls WHERE id % 2 = 0;
VACUUM spgisted_nulls;
INSERT INTO spgisted_nulls SELECT i, NULL FROM generate_series(1, 200) i;
