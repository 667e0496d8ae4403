-- Objects that all sessions share. Run once, in the schema "shared".
CREATE EXTENSION bloom SCHEMA public;
CREATE EXTENSION btree_gin SCHEMA public;
CREATE EXTENSION btree_gist SCHEMA public;
CREATE EXTENSION pg_trgm SCHEMA public;
CREATE EXTENSION pageinspect SCHEMA public;

-- Text of a given length that does not compress.
CREATE FUNCTION wide_text(seed integer, width integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT left(string_agg(md5(seed::text || '/' || part::text), ''), width)
    FROM generate_series(1, width / 32 + 1) AS part
$$;

-- Whether vacuum has removed an entry from every leaf page of a GiST index at some time (F_TUPLES_DELETED).
CREATE FUNCTION all_leaves_vacuumed(index regclass) RETURNS boolean LANGUAGE sql AS $$
  SELECT coalesce(bool_and(flags && ARRAY['tuples_deleted', 'deleted'] OR NOT flags && ARRAY['leaf']), false)
    FROM generate_series(0, pg_relation_size(index) / 8192 - 1) AS block,
         LATERAL (SELECT get_raw_page(index::text, block::integer) AS page) AS raw,
         LATERAL gist_page_opaque_info(page)
$$;

-- Uses up transaction ids, one for each subtransaction.
CREATE PROCEDURE use_transaction_ids(amount integer) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..amount LOOP
    BEGIN
      PERFORM pg_logical_emit_message(true, '', '');
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;

-- Waits, three seconds at most, until nobody can see rows that are dead by now: then vacuum can remove them and scans
-- can mark them.
CREATE PROCEDURE await_horizon() LANGUAGE plpgsql AS $$
DECLARE
  goal bigint := pg_current_xact_id()::text::bigint;
BEGIN
  COMMIT;
  FOR i IN 1..100 LOOP
    EXIT WHEN pg_snapshot_xmin(pg_current_snapshot())::text::bigint > goal AND NOT EXISTS (
      SELECT FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND backend_xmin::text::bigint <= goal);
    PERFORM pg_sleep(0.03);
    COMMIT;
  END LOOP;
END $$;

CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, note text, touched timestamptz)
  WITH (fillfactor = 70);
CREATE INDEX accounts_note ON accounts (note);
CREATE INDEX accounts_touched ON accounts USING brin (touched) WITH (pages_per_range = 2, autosummarize = on);
CREATE TABLE movements (id bigserial PRIMARY KEY, account integer REFERENCES accounts ON DELETE CASCADE,
  amount integer, at timestamptz DEFAULT now());
CREATE INDEX movements_account ON movements USING hash (account);
INSERT INTO accounts SELECT i, 1000, md5(i::text), now() FROM generate_series(1, 500) i;
CREATE TABLE queue (id integer PRIMARY KEY, tag integer UNIQUE, state text, tags integer[], place point);
CREATE INDEX queue_tags ON queue USING gin (tags);
CREATE INDEX queue_state ON queue USING spgist (state);
