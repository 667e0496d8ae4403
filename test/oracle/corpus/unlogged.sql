-- Unlogged relations: Storage CREATE of init forks, XLOG FPI of init pages of every access method; SET LOGGED.
DROP TABLE IF EXISTS unlogged_all;
CREATE UNLOGGED TABLE unlogged_all (id bigserial PRIMARY KEY, a integer[], p point, t text, at timestamptz);
CREATE INDEX ON unlogged_all USING gin (a);
CREATE INDEX ON unlogged_all USING gist (p);
CREATE INDEX ON unlogged_all USING spgist (t);
CREATE INDEX ON unlogged_all USING hash (t);
CREATE INDEX ON unlogged_all USING brin (at);
CREATE INDEX ON unlogged_all USING bloom (t);
INSERT INTO unlogged_all (a, p, t, at) SELECT ARRAY[i], point(i, i), repeat('u', i), now() FROM generate_series(1, 100) i;
VACUUM unlogged_all;
ALTER TABLE unlogged_all SET LOGGED;
INSERT INTO unlogged_all (a, p, t, at) SELECT ARRAY[i], point(i, i), 'logged' || i, now() FROM generate_series(1, 50) i;
ALTER TABLE unlogged_all SET UNLOGGED;
TRUNCATE unlogged_all;
INSERT INTO unlogged_all (a) VALUES ('{1}');
