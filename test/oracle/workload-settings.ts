import type { SeededRandom } from '../support/seeded-random.ts';
import type { Setting } from '../support/stock-postgres.ts';

export type WalCompression = 'off' | 'pglz' | 'lz4' | 'zstd';

/** Settings while the cluster is prepared, before the snapshot: fast, and without leaving WAL behind. */
export const PREPARATION_SETTINGS: Readonly<Record<string, Setting>> = {
  fsync: false,
  synchronous_commit: false,
  autovacuum: false,
  wal_level: 'minimal',
  max_wal_senders: 0,
};

/**
 * Settings of the run: every record carries the page it must give, no WAL is ever removed, and what PostgreSQL does
 * now and then in production (checkpoints, evictions, vacuums, wraparound care) happens all the time.
 */
export function runSettings(compression: WalCompression, fullPageWrites: boolean): Record<string, Setting> {
  return {
    fsync: false,
    autovacuum: true,
    wal_level: 'logical',
    wal_consistency_checking: 'all',
    wal_keep_size: '1TB',
    wal_compression: compression,
    full_page_writes: fullPageWrites,
    wal_log_hints: true,
    max_wal_size: '48MB',
    min_wal_size: '32MB',
    checkpoint_timeout: '30s',
    checkpoint_completion_target: 0.5,
    log_checkpoints: false,
    shared_buffers: '8MB',
    bgwriter_delay: '20ms',
    wal_buffers: '128kB',
    wal_writer_delay: '20ms',
    max_connections: 50,
    max_wal_senders: 5,
    max_worker_processes: 8,
    max_replication_slots: 10,
    max_prepared_transactions: 20,
    max_locks_per_transaction: 256,
    track_commit_timestamp: true,
    allow_in_place_tablespaces: true,
    deadlock_timeout: '100ms',
    autovacuum_naptime: '1s',
    autovacuum_max_workers: 3,
    autovacuum_vacuum_threshold: 30,
    autovacuum_vacuum_scale_factor: 0.02,
    autovacuum_vacuum_insert_threshold: 200,
    autovacuum_analyze_threshold: 50,
    autovacuum_vacuum_cost_delay: 0,
    autovacuum_freeze_max_age: 100_000,
    autovacuum_multixact_freeze_max_age: 10_000,
    vacuum_multixact_freeze_min_age: 1000,
    dynamic_shared_memory_type: 'mmap',
    log_min_messages: 'fatal',
    log_min_error_statement: 'panic',
  };
}

/**
 * Other values of settings that a PARAMETER_CHANGE record carries. `wal_level` leaves `logical` only after a clean
 * stop with no logical slot, or the server would not start.
 */
export function changedSettings(random: SeededRandom, isCleanStop: boolean): Record<string, Setting> {
  const settings: Record<string, Setting> = {
    max_connections: random.pick([45, 50, 60]),
    max_worker_processes: random.pick([8, 12]),
    max_wal_senders: random.pick([5, 7]),
    max_prepared_transactions: random.pick([20, 30]),
    max_locks_per_transaction: random.pick([256, 300]),
    wal_log_hints: random.chance(0.7),
    track_commit_timestamp: random.chance(0.8),
  };
  settings['wal_level'] = isCleanStop && random.chance(0.3) ? 'replica' : 'logical';
  return settings;
}
