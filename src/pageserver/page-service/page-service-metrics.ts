import type { Counter, Histogram } from '../../observe/metric-cells.ts';
import type { Metrics } from '../../observe/metrics.ts';

/** By tag of the request: Neon's names (its smgr_query_type). */
const QUERY_TYPES = ['get_rel_exists', 'get_rel_size', 'get_page_at_lsn', 'get_db_size', 'get_slru_segment'];
const QUERY_BOUNDS_S = [0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 10, 100];
const BACKUP_BOUNDS_S = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];
const BATCH_BOUNDS = [1, 2, 4, 8, 16, 32];

/** What the page service counts, by Neon's names. */
export class PageServiceMetrics {
  readonly batchSizes: Histogram;
  /** By tag of the request. */
  readonly #started: readonly Counter[];
  readonly #seconds: readonly Histogram[];
  readonly #backups: Readonly<Record<'ok' | 'error' | 'client_error', Histogram>>;

  constructor(metrics: Metrics) {
    const started = metrics.counters(
      'pageserver_smgr_query_started_global_count',
      'Requests for pages and the like that were taken up',
      ['smgr_query_type'],
    );
    this.#started = QUERY_TYPES.map((type) => started.of(type));
    const seconds = metrics.histograms(
      'pageserver_smgr_query_seconds_global',
      'Time from the arrival of the first request of a batch to its answers, of each batch',
      ['smgr_query_type'],
      QUERY_BOUNDS_S,
    );
    this.#seconds = QUERY_TYPES.map((type) => seconds.of(type));
    this.batchSizes = metrics.histogram(
      'pageserver_page_service_batch_size_global',
      'Requests for pages that were read together',
      BATCH_BOUNDS,
    );
    const backups = metrics.histograms(
      'pageserver_basebackup_query_seconds',
      'Time that backups and start sets took',
      ['result'],
      BACKUP_BOUNDS_S,
    );
    this.#backups = {
      ok: backups.of('ok'),
      error: backups.of('error'),
      client_error: backups.of('client_error'),
    };
  }

  noteStarted(tag: number, requests: number): void {
    this.#started[tag]?.add(requests);
  }

  noteAnswered(tag: number, seconds: number): void {
    this.#seconds[tag]?.observe(seconds);
  }

  noteBackup(result: 'ok' | 'error' | 'client_error', seconds: number): void {
    this.#backups[result].observe(seconds);
  }
}
