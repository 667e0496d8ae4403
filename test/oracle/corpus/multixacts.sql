-- MultiXact: CREATE_ID, ZERO_OFF_PAGE (each 2048 ids), ZERO_MEM_PAGE (each 1636 members); freezing of multixacts.
-- MultiXact TRUNCATE_ID comes when the driver freezes all databases.
DROP TABLE IF EXISTS multi;
CREATE TABLE multi (id integer PRIMARY KEY, v integer) WITH (fillfactor = 50, autovacuum_enabled = off);
INSERT INTO multi SELECT i, 0 FROM generate_series(1, 100) i;
BEGIN;
SELECT count(*) FROM (SELECT 1 FROM multi FOR KEY SHARE) s;
PREPARE TRANSACTION 'corpus_multixacts';
-- Each subtransaction is a member of its own, so that no set of members is used twice.
DO $$ BEGIN
  FOR i IN 1..2200 LOOP
    BEGIN
      PERFORM 1 FROM multi WHERE id = 1 + i % 20 FOR SHARE;
      IF i % 100 < 99 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
UPDATE multi SET v = v + 1 WHERE id % 3 = 0;
BEGIN;
SELECT count(*) FROM (SELECT 1 FROM multi WHERE id > 30 FOR SHARE) s;
UPDATE multi SET v = v + 1 WHERE id > 60;
COMMIT;
SET vacuum_multixact_freeze_min_age = 0;
SET vacuum_multixact_freeze_table_age = 0;
VACUUM (FREEZE) multi;
COMMIT PREPARED 'corpus_multixacts';
VACUUM (FREEZE) multi;
