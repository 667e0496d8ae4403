-- Transaction: ASSIGNMENT (more than 64 subtransactions), COMMIT and ABORT with subtransactions, dropped relations,
-- invalidations; Storage CREATE in transactions that fail.
DROP TABLE IF EXISTS nested;
CREATE TABLE nested (id integer, v text);
DO $$ BEGIN
  FOR i IN 1..150 LOOP
    BEGIN
      INSERT INTO nested VALUES (i, 'sub');
      IF i % 5 = 0 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
BEGIN;
DO $$ BEGIN
  FOR i IN 1..80 LOOP
    BEGIN
      INSERT INTO nested VALUES (i, 'lost');
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
CREATE TABLE nested_lost AS SELECT * FROM nested;
CREATE INDEX ON nested_lost (id);
ROLLBACK;
BEGIN;
SAVEPOINT one;
INSERT INTO nested VALUES (-1, 'one');
SAVEPOINT two;
CREATE TABLE nested_two (id integer PRIMARY KEY);
INSERT INTO nested_two VALUES (1);
ROLLBACK TO two;
SAVEPOINT three;
CREATE TEMPORARY TABLE nested_temporary (id integer);
CREATE TABLE nested_three (id serial PRIMARY KEY, v text);
INSERT INTO nested_three (v) SELECT repeat('t', 3000) FROM generate_series(1, 5);
RELEASE three;
DROP TABLE nested_three;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE nested SET v = 'serializable' WHERE id % 10 = 1;
COMMIT;
BEGIN;
SET LOCAL synchronous_commit = off;
DELETE FROM nested WHERE id % 2 = 0;
COMMIT;
