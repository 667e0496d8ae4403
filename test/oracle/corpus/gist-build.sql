-- Gist: index builds, sorted, by insertion, and with buffers (XLOG FPI, Gist PAGE_UPDATE and PAGE_SPLIT after it);
-- exclusion constraints.
DROP TABLE IF EXISTS gist_built;
CREATE TABLE gist_built AS SELECT i AS id, point(random() * 10, random() * 10) AS p, box(point(i, i), point(i + 5, i + 3)) AS b,
  wide_text(i, 600) AS k FROM generate_series(1, 400) i;
CREATE INDEX ON gist_built USING gist (p);
CREATE INDEX ON gist_built USING gist (b) WITH (buffering = on, fillfactor = 30);
CREATE INDEX ON gist_built USING gist (k) WITH (buffering = off);
INSERT INTO gist_built SELECT i, point(i, 1), box(point(i, 0), point(0, i)), wide_text(i, 700) FROM generate_series(400, 480) i;
DROP TABLE IF EXISTS gist_excluded;
CREATE TABLE gist_excluded (room integer, during int4range, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO gist_excluded SELECT i % 5, int4range(i, i + 5) FROM generate_series(1, 200) i ON CONFLICT DO NOTHING;
INSERT INTO gist_excluded VALUES (1, int4range(0, 100));
DELETE FROM gist_excluded WHERE room = 2;
VACUUM gist_excluded;
