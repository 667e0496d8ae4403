-- Large objects: Heap and Btree records of pg_largeobject; XLOG NEXTOID.
DO $$
DECLARE
  handle integer;
  made oid;
BEGIN
  FOR i IN 1..25 LOOP
    made := lo_from_bytea(0, convert_to(wide_text(i, 3000 * (i % 4)), 'UTF8'));
    PERFORM lo_put(made, 1500, '\x00112233445566778899');
    IF i % 3 = 0 THEN PERFORM lo_unlink(made); END IF;
    IF i % 4 = 0 THEN
      handle := lo_open(made, 393216);
      PERFORM lo_truncate(handle, 100);
    END IF;
  END LOOP;
EXCEPTION WHEN undefined_object THEN NULL;
END $$;
SELECT count(lo_unlink(oid)) FROM (SELECT oid FROM pg_largeobject_metadata WHERE random() < 0.3) s;
SELECT count(lo_create(0)) FROM generate_series(1, 50);
VACUUM pg_largeobject;
