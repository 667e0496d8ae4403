-- Several sessions on the same rows: Heap LOCK, UPDATE, Heap2 LOCK_UPDATED, MultiXact CREATE_ID, aborted transactions,
-- deadlocks, vacuums beside them.
UPDATE shared.accounts SET balance = balance - 1, touched = clock_timestamp() WHERE id = 1 + (random() * 20)::int;
BEGIN;
UPDATE shared.accounts SET note = md5(random()::text) WHERE id BETWEEN 10 AND 20 + (random() * 20)::int;
SELECT pg_sleep(random() * 0.03);
UPDATE shared.accounts SET balance = balance + 1 WHERE id = 1 + (random() * 20)::int;
COMMIT;
BEGIN;
INSERT INTO shared.movements (account, amount) SELECT 1 + (random() * 30)::int, i FROM generate_series(1, 15) i;
SAVEPOINT s;
SELECT count(*) FROM (SELECT 1 FROM shared.accounts WHERE id < 30 FOR SHARE NOWAIT) s;
ROLLBACK TO s;
SELECT pg_sleep(random() * 0.03);
UPDATE shared.accounts SET balance = balance + 2 WHERE id IN (1, 2, 3);
COMMIT;
BEGIN;
DELETE FROM shared.accounts WHERE id = 1 + (random() * 499)::int;
SELECT pg_sleep(random() * 0.02);
ROLLBACK;
UPDATE shared.accounts SET id = id WHERE id BETWEEN 30 AND 35;
INSERT INTO shared.accounts SELECT i, 0, 'back' FROM generate_series(1, 500) i ON CONFLICT DO NOTHING;
DELETE FROM shared.movements WHERE id IN (SELECT id FROM shared.movements ORDER BY id LIMIT 40 FOR UPDATE SKIP LOCKED);
UPDATE shared.queue SET place = point(random(), random()), tags = tags || (random() * 100)::int WHERE id IN
  (SELECT id FROM shared.queue WHERE random() < 0.2 FOR UPDATE SKIP LOCKED);
UPDATE shared.queue SET tags = tags[1:2], state = left(state, 3) WHERE cardinality(tags) > 6;
VACUUM shared.accounts;
VACUUM shared.queue;
