-- LogicalMessage: MESSAGE, transactional and not, small and longer than a page. ReplicationOrigin: SET, DROP; records
-- that carry an origin; COMMIT with an origin.
SELECT pg_logical_emit_message(false, 'corpus', 'not transactional');
SELECT pg_logical_emit_message(true, 'corpus', wide_text(1, 30000));
SELECT pg_logical_emit_message(false, 'corpus', convert_to(wide_text(2, 100000), 'UTF8'), true);
BEGIN;
SELECT pg_logical_emit_message(true, 'corpus', 'rolled back');
ROLLBACK;
SELECT pg_replication_origin_create('corpus_origin');
SELECT pg_replication_origin_session_setup('corpus_origin');
DROP TABLE IF EXISTS replicated;
CREATE TABLE replicated (id integer PRIMARY KEY);
BEGIN;
SELECT pg_replication_origin_xact_setup('0/ABCDEF', '2020-01-01 00:00:00+00');
INSERT INTO replicated SELECT generate_series(1, 50);
COMMIT;
BEGIN;
SELECT pg_replication_origin_xact_setup('0/ABCDFF', '2020-01-02 00:00:00+00');
UPDATE replicated SET id = id + 100;
PREPARE TRANSACTION 'corpus_origin';
COMMIT PREPARED 'corpus_origin';
DELETE FROM replicated WHERE id < 120;
SELECT pg_replication_origin_xact_reset();
SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_advance('corpus_origin', '0/ABCE00');
SELECT pg_replication_origin_drop('corpus_origin');
