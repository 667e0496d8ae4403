-- Transaction: PREPARE, COMMIT_PREPARED, ABORT_PREPARED, with subtransactions, created and dropped relations, locks,
-- multixacts and messages. A name in use, or ended by another session, is an error that changes nothing.
DROP TABLE IF EXISTS prepared_base, prepared_new, prepared_other;
CREATE TABLE prepared_base (id integer PRIMARY KEY, v text);
INSERT INTO prepared_base SELECT i, 'p' FROM generate_series(1, 50) i;
BEGIN;
INSERT INTO prepared_base VALUES (1001, 'two-phase');
SAVEPOINT a;
UPDATE prepared_base SET v = 'a' WHERE id < 10;
SAVEPOINT b;
DELETE FROM prepared_base WHERE id > 40 AND id < 1000;
CREATE TABLE prepared_new AS SELECT * FROM prepared_base;
PREPARE TRANSACTION 'corpus_commit';
SELECT count(*) FROM prepared_base;
COMMIT PREPARED 'corpus_commit';
BEGIN;
CREATE TABLE prepared_other (id serial PRIMARY KEY);
INSERT INTO prepared_other SELECT FROM generate_series(1, 100);
DROP TABLE prepared_new;
PREPARE TRANSACTION 'corpus_abort';
CHECKPOINT;
ROLLBACK PREPARED 'corpus_abort';
BEGIN;
DO $$ BEGIN
  FOR i IN 1..70 LOOP
    BEGIN INSERT INTO prepared_base VALUES (2000 + i, 'sub'); EXCEPTION WHEN unique_violation THEN NULL; END;
  END LOOP;
END $$;
DROP TABLE IF EXISTS prepared_new;
SELECT pg_logical_emit_message(true, 'corpus', 'in a prepared transaction');
PREPARE TRANSACTION 'corpus_drop';
COMMIT PREPARED 'corpus_drop';
-- Left open half of the time, for the next kill to find.
BEGIN;
UPDATE prepared_base SET v = 'open' WHERE id = 20;
DO $$ BEGIN EXECUTE format('PREPARE TRANSACTION %L', 'x'); EXCEPTION WHEN OTHERS THEN NULL; END $$;
PREPARE TRANSACTION 'corpus_open';
SELECT pg_sleep(0.1);
COMMIT PREPARED 'corpus_open';
