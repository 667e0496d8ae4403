import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Counter, Family, Gauge, Histogram } from '../observe/metric-cells.ts';
import type { MetricOfMany, Metrics } from '../observe/metrics.ts';

/** What the metrics read of a timeline when they are asked for. Sizes in bytes, LSNs as numbers, times in seconds. */
export interface TimelineReading {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly commitLsn: number;
  readonly backupLsn: number;
  readonly flushLsn: number;
  /** Where the WAL of the last term that has any begins. */
  readonly epochStartLsn: number;
  readonly peerHorizonLsn: number;
  readonly remoteConsistentLsn: number;
  readonly term: number;
  readonly diskUsageBytes: number;
  readonly connectedComputes: number;
  readonly isActive: boolean;
  readonly isWalBackupActive: boolean;
  readonly pageserverLastReceivedLsn: number;
  /** Since 1970-01-01 UTC; 0: never. */
  readonly lastFeedbackS: number;
  readonly isPageserverCorrupt: boolean;
  readonly feedbackCount: number;
  readonly writtenWalBytes: number;
  readonly writtenWalS: number;
  readonly flushedWalS: number;
}

const FSYNC_BOUNDS_S = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30];
const WRITE_BOUNDS_BYTES = [1, 10, 100, 1024, 8192, 131_072, 1_048_576, 10_485_760];
const DEPTH_BOUNDS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

const gauge = (
  name: string,
  help: string,
  read: (timeline: TimelineReading) => number,
): MetricOfMany<TimelineReading> => ({ name: `safekeeper_${name}`, help, type: 'gauge', read });

const total = (
  name: string,
  help: string,
  read: (timeline: TimelineReading) => number,
): MetricOfMany<TimelineReading> => ({ name: `safekeeper_${name}_total`, help, type: 'counter', read });

const METRICS_OF_TIMELINES: readonly MetricOfMany<TimelineReading>[] = [
  gauge('commit_lsn', 'A quorum has all WAL below', (timeline) => timeline.commitLsn),
  gauge('backup_lsn', 'Object storage has all WAL below', (timeline) => timeline.backupLsn),
  gauge('flush_lsn', 'The disk has all WAL below', (timeline) => timeline.flushLsn),
  gauge('epoch_start_lsn', 'Begin of the last term with WAL', (timeline) => timeline.epochStartLsn),
  gauge('peer_horizon_lsn', 'All safekeepers have all WAL below', (timeline) => timeline.peerHorizonLsn),
  gauge(
    'remote_consistent_lsn',
    'Pageservers need no WAL below any more',
    (timeline) => timeline.remoteConsistentLsn,
  ),
  gauge('acceptor_term', 'The highest term voted for or followed', (timeline) => timeline.term),
  gauge('disk_usage_bytes', 'Bytes of WAL on the disk', (timeline) => timeline.diskUsageBytes),
  gauge('connected_computes', 'Proposers that are connected', (timeline) => timeline.connectedComputes),
  gauge('timeline_active', '1 while there is something to do', (timeline) => Number(timeline.isActive)),
  gauge('wal_backup_active', '1 while this one uploads the WAL', (timeline) =>
    Number(timeline.isWalBackupActive),
  ),
  gauge(
    'ps_last_received_lsn',
    'How far a pageserver has received WAL',
    (timeline) => timeline.pageserverLastReceivedLsn,
  ),
  gauge(
    'feedback_last_time_seconds',
    'When a pageserver was last heard of',
    (timeline) => timeline.lastFeedbackS,
  ),
  total('ps_feedback_count', "Pageservers' news that were taken", (timeline) => timeline.feedbackCount),
  total('written_wal_bytes', 'Bytes of WAL written', (timeline) => timeline.writtenWalBytes),
  total('written_wal_seconds', 'Time spent writing WAL', (timeline) => timeline.writtenWalS),
  total('flushed_wal_seconds', 'Time spent making WAL durable', (timeline) => timeline.flushedWalS),
];

/** Who is at the other end of a connection, of the few that are told apart: a name from outside makes no series. */
export function peerKindOf(applicationName: string | undefined): string {
  const name = applicationName ?? '';
  for (const kind of ['pageserver', 'safekeeper', 'proposer', 'compute', 'walproposer']) {
    if (name.startsWith(kind)) return kind;
  }
  return name === '' ? 'unnamed' : 'other';
}

/** All that a safekeeper counts. Names are those that Neon's dashboards know. */
export class SafekeeperMetrics {
  readonly writeWalSeconds: Histogram;
  readonly flushWalSeconds: Histogram;
  readonly persistControlFileSeconds: Histogram;
  readonly walStorageOperationSeconds: Family<Histogram>;
  readonly miscOperationSeconds: Family<Histogram>;
  readonly writeWalBytes: Histogram;
  /** Labels client_az, sk_az, app_name (see `peerKindOf`), dir (read, write), same_az. */
  readonly pgIoBytes: Family<Counter>;
  readonly pgQueriesReceived: Family<Counter>;
  readonly pgQueriesFinished: Family<Counter>;
  /** The status stream's, under the names of what it stands for. */
  readonly brokerPushedUpdates: Counter;
  readonly brokerPulledUpdates: Counter;
  readonly receivedPageserverFeedbacks: Counter;
  readonly removedWalSegments: Counter;
  readonly backedUpSegments: Counter;
  readonly backupErrors: Counter;
  /** Label result (ok, error). */
  readonly partialBackupUploads: Family<Counter>;
  readonly partialBackupUploadedBytes: Counter;
  readonly walReceivers: Gauge;
  /** Sampled every 5 s for each receiver. */
  readonly walReceiverQueueDepth: Histogram;
  /** Messages that wait in all receivers' queues, and their bytes. */
  readonly walReceiverQueueDepthTotal: Gauge;
  readonly walReceiverQueueSizeTotal: Gauge;
  /** Labels kind (task, future), target (compute, pageserver, safekeeper, other). */
  readonly walReaders: Family<Gauge>;
  /** Label kind (evict, restore). */
  readonly evictionEventsStarted: Family<Counter>;
  readonly evictionEventsCompleted: Family<Counter>;
  readonly evictedTimelines: Gauge;

  /** @param timelines those that are loaded now; read at each asking, so that those that go take their series along */
  constructor(metrics: Metrics, timelines: () => Iterable<TimelineReading>) {
    const seconds = (name: string, help: string): Histogram =>
      metrics.histogram(`safekeeper_${name}_seconds`, help, FSYNC_BOUNDS_S);
    const secondsBy = (name: string, help: string): Family<Histogram> =>
      metrics.histograms(`safekeeper_${name}_seconds`, help, ['operation'], FSYNC_BOUNDS_S);
    const counter = (name: string, help: string): Counter =>
      metrics.counter(`safekeeper_${name}_total`, help);
    const counters = (name: string, help: string, labels: readonly string[]): Family<Counter> =>
      metrics.counters(`safekeeper_${name}_total`, help, labels);

    this.writeWalSeconds = seconds('write_wal', 'Time of writing one append');
    this.flushWalSeconds = seconds('flush_wal', 'Time of making WAL durable');
    this.persistControlFileSeconds = seconds('persist_control_file', 'Time of writing a control file');
    this.walStorageOperationSeconds = secondsBy('wal_storage_operation', 'Time of operations on WAL files');
    this.miscOperationSeconds = secondsBy('misc_operation', 'Time of other operations');
    this.writeWalBytes = metrics.histogram(
      'safekeeper_write_wal_bytes',
      'Bytes of one append',
      WRITE_BOUNDS_BYTES,
    );
    this.pgIoBytes = counters('pg_io_bytes', 'Bytes over connections', [
      'client_az',
      'sk_az',
      'app_name',
      'dir',
      'same_az',
    ]);
    this.pgQueriesReceived = counters('pg_queries_received', 'Commands that were begun', ['query']);
    this.pgQueriesFinished = counters('pg_queries_finished', 'Commands that have ended', ['query']);
    this.brokerPushedUpdates = counter('broker_pushed_updates', 'News of timelines that were sent');
    this.brokerPulledUpdates = counter('broker_pulled_updates', 'News of timelines that came');
    this.receivedPageserverFeedbacks = counter('received_ps_feedbacks', "Pageservers' news that came");
    this.removedWalSegments = counter('removed_wal_segments', 'Segments removed from the disk');
    this.backedUpSegments = counter('backed_up_segments', 'Whole segments uploaded');
    this.backupErrors = counter('backup_errors', 'Uploads of whole segments that failed');
    this.partialBackupUploads = counters('partial_backup_uploads', 'Uploads of partial segments', ['result']);
    this.partialBackupUploadedBytes = counter(
      'partial_backup_uploaded_bytes',
      'Bytes of partial segments uploaded',
    );
    this.walReceivers = metrics.gauge('safekeeper_wal_receivers', 'Proposers and recoveries that send WAL');
    this.walReceiverQueueDepth = metrics.histogram(
      'safekeeper_wal_receiver_queue_depth',
      'Messages that wait for one receiver, sampled',
      DEPTH_BOUNDS,
    );
    this.walReceiverQueueDepthTotal = metrics.gauge(
      'safekeeper_wal_receiver_queue_depth_total',
      'Messages that wait for all receivers',
    );
    this.walReceiverQueueSizeTotal = metrics.gauge(
      'safekeeper_wal_receiver_queue_size_total',
      'Bytes that wait for all receivers',
    );
    this.walReaders = metrics.gauges('safekeeper_wal_readers', 'Readers of WAL', ['kind', 'target']);
    this.evictionEventsStarted = counters('eviction_events_started', 'Evictions and returns begun', ['kind']);
    this.evictionEventsCompleted = counters('eviction_events_completed', 'Evictions and returns done', [
      'kind',
    ]);
    this.evictedTimelines = metrics.gauge('safekeeper_evicted_timelines', 'Timelines without WAL here');
    addTimelines(metrics, timelines);
  }
}

function addTimelines(metrics: Metrics, timelines: () => Iterable<TimelineReading>): void {
  const count = (matches: (timeline: TimelineReading) => boolean): number => {
    let matching = 0;
    for (const timeline of timelines()) if (matches(timeline)) matching++;
    return matching;
  };
  metrics.gaugeFrom('safekeeper_timelines', 'Timelines that are loaded', () => count(() => true));
  metrics.gaugeFrom('safekeeper_active_timelines', 'Timelines with something to do', () =>
    count((timeline) => timeline.isActive),
  );
  metrics.gaugeFrom('safekeeper_ps_corruption_detected', 'Timelines that a pageserver finds damaged', () =>
    count((timeline) => timeline.isPageserverCorrupt),
  );
  metrics.ofMany({
    things: timelines,
    labelsOf: ({ tenantId, timelineId }) => `tenant_id="${tenantId}",timeline_id="${timelineId}"`,
    metrics: METRICS_OF_TIMELINES,
  });
}
