-- Gin: CREATE_PTREE, INSERT and SPLIT of data pages, VACUUM_DATA_LEAF_PAGE, DELETE_PAGE, VACUUM_PAGE.
DROP TABLE IF EXISTS posting;
CREATE TABLE posting (tags integer[]) WITH (autovacuum_enabled = off);
COPY posting FROM PROGRAM '(yes "{1}" | head -n 20000; yes "{5}" | head -n 2300)';
CREATE INDEX posting_tags ON posting USING gin (tags) WITH (fastupdate = off);
DELETE FROM posting WHERE (ctid::text::point)[0] BETWEEN 20 AND 25 AND (ctid::text::point)[1]::int % 2 = 0;
VACUUM posting;
-- These rows land where the deleted ones were, within full data pages.
INSERT INTO posting SELECT '{1}' FROM generate_series(1, 600);
-- A key that grows from a posting list to a tree.
INSERT INTO posting SELECT '{5}' FROM generate_series(1, 20);
ALTER INDEX posting_tags SET (fastupdate = on);
COPY posting FROM PROGRAM 'yes "{5}" | head -n 700';
SELECT gin_clean_pending_list('posting_tags');
ALTER INDEX posting_tags SET (fastupdate = off);
INSERT INTO posting SELECT '{5}' FROM generate_series(1, 20);
DELETE FROM posting WHERE (ctid::text::point)[0] BETWEEN 50 AND 130;
CALL await_horizon();
VACUUM posting;
COPY posting FROM PROGRAM 'yes "{1}" | head -n 300';
DELETE FROM posting WHERE tags = '{5}' AND random() < 0.2;
VACUUM posting;
