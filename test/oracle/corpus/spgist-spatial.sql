-- SPGist with quad trees, k-d trees, ranges, boxes and addresses: PICKSPLIT, MOVE_LEAFS, ADD_NODE, VACUUM_LEAF,
-- VACUUM_REDIRECT; many equal values (all-the-same tuples).
DROP TABLE IF EXISTS spatial;
CREATE TABLE spatial (id integer, p point, r int4range, a inet, b box) WITH (autovacuum_enabled = off);
CREATE INDEX spatial_quad ON spatial USING spgist (p);
CREATE INDEX spatial_kd ON spatial USING spgist (p kd_point_ops);
CREATE INDEX spatial_r ON spatial USING spgist (r) INCLUDE (id);
CREATE INDEX spatial_a ON spatial USING spgist (a);
CREATE INDEX spatial_b ON spatial USING spgist (b);
INSERT INTO spatial SELECT i, point(random() * 1000, random() * 1000), int4range(i, i + (random() * 50)::int),
  ('10.' || i % 250 || '.' || i % 13 || '.1')::inet, box(point(i, 0), point(0, i)) FROM generate_series(1, 250) i;
INSERT INTO spatial SELECT i, point(5, 5), 'empty', '::1', NULL FROM generate_series(1, 120) i;
DELETE FROM spatial WHERE id % 2 = 0;
CALL use_transaction_ids(3);
CALL await_horizon();
VACUUM spatial;
INSERT INTO spatial SELECT i, point(i, i), int4range(0, i), ('2001:db8::' || (i % 9)::text)::inet, NULL FROM generate_series(1, 120) i;
VACUUM spatial;
DROP INDEX spatial_quad;
CREATE INDEX spatial_quad ON spatial USING spgist (p);
INSERT INTO spatial (id, p) SELECT i, point(random(), random()) FROM generate_series(1, 100) i;
