-- CLOG: ZEROPAGE (each 32768 ids; TRUNCATE comes when the driver freezes all databases). CommitTs: ZEROPAGE (each 819).
-- Transaction: COMMIT with thousands of subtransactions.
CALL use_transaction_ids(6000);
CALL use_transaction_ids(3000);
BEGIN;
CALL use_transaction_ids(500);
ROLLBACK;
DO $$ BEGIN
  FOR i IN 1..200 LOOP
    PERFORM pg_current_xact_id();
    COMMIT;
  END LOOP;
END $$;
