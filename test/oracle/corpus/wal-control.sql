-- XLOG: SWITCH, RESTORE_POINT, BACKUP_END, CHECKPOINT_REDO, CHECKPOINT_ONLINE, FPW_CHANGE. Standby: RUNNING_XACTS.
-- Shutdown checkpoints and PARAMETER_CHANGE come from the driver's restarts, OVERWRITE_CONTRECORD from its kills.
SELECT pg_create_restore_point('corpus');
SELECT pg_log_standby_snapshot();
SELECT pg_switch_wal();
SELECT pg_backup_start('corpus', true);
INSERT INTO shared.movements (account, amount) SELECT 1 + i % 400, 1 FROM generate_series(1, 20) i;
SELECT count(*) FROM pg_backup_stop(false);
ALTER SYSTEM SET full_page_writes = on;
SELECT pg_reload_conf();
SELECT pg_sleep(0.15);
ALTER SYSTEM SET full_page_writes = off;
SELECT pg_reload_conf();
SELECT pg_sleep(0.15);
UPDATE shared.accounts SET balance = balance + 1 WHERE id % 50 = 7;
ALTER SYSTEM RESET full_page_writes;
SELECT pg_reload_conf();
SELECT pg_sleep(0.1);
CHECKPOINT;
