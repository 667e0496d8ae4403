-- Gist: PAGE_UPDATE, PAGE_SPLIT (root, several levels), DELETE (entries that scans have marked dead), PAGE_DELETE,
-- PAGE_REUSE. Long signatures and long texts make pages that hold few entries.
DROP TABLE IF EXISTS gisted;
CREATE TABLE gisted (id integer, p point, k text, r int4range) WITH (autovacuum_enabled = off);
CREATE INDEX gisted_p ON gisted USING gist (p);
CREATE INDEX gisted_k ON gisted USING gist (k gist_trgm_ops (siglen = 1500));
CREATE INDEX gisted_r ON gisted USING gist (r, id);
INSERT INTO gisted SELECT i, point(random() * 100, random() * 100), wide_text(i, 20), int4range(i, i + 10) FROM generate_series(1, 300) i;
UPDATE gisted SET p = point(p[0] + 1, p[1]) WHERE id % 10 = 0;
DELETE FROM gisted WHERE id % 5 = 0;
CALL await_horizon();
VACUUM gisted;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
DELETE FROM gisted WHERE id % 3 = 0;
CALL await_horizon();
-- Replay of DELETE sets a flag that the server which wrote the record did not set (gistRedoDeleteRecord against
-- gistprunepage), and gist_mask keeps it: on a page without that flag, recovery with wal_consistency_checking ends in
-- "inconsistent page found". So entries are only marked dead where vacuum has set the flag everywhere.
DO $$ BEGIN
  IF all_leaves_vacuumed('gisted_p') THEN
    PERFORM count(*) FROM (SELECT * FROM gisted WHERE p <@ box '(0,0),(200,200)') s;
  END IF;
  IF all_leaves_vacuumed('gisted_r') THEN
    PERFORM count(*) FROM (SELECT * FROM gisted WHERE r && int4range(0, 1000)) s;
  END IF;
END $$;
INSERT INTO gisted (id, p, r) SELECT i, point(random() * 100, random() * 100), int4range(i % 300, i % 300 + 10) FROM generate_series(301, 650) i;
DELETE FROM gisted WHERE p[0] < 70;
CALL await_horizon();
VACUUM gisted;
DELETE FROM gisted;
CALL await_horizon();
VACUUM gisted;
CALL use_transaction_ids(3);
CALL await_horizon();
VACUUM gisted;
INSERT INTO gisted SELECT i, point(random() * 100, random() * 100), wide_text(i, 20), int4range(i, i + 10) FROM generate_series(700, 850) i;
-- Pages are used again only when no transaction is left that could know them.
CALL await_horizon();
VACUUM gisted;
INSERT INTO gisted SELECT i, point(random() * 100, random() * 100), wide_text(i, 20), int4range(i, i + 10) FROM generate_series(851, 1000) i;
