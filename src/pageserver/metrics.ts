import { VarveError } from '../base/errors.ts';
import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Clock } from '../io/clock.ts';
import type { Counter, Family, Histogram } from '../observe/metric-cells.ts';
import type { MetricOfMany, Metrics } from '../observe/metrics.ts';
import { CacheCounts } from './layers/cache-counts.ts';
import { RemoteMetrics } from './remote/remote-metrics.ts';

/** How many there are of something, and how large they are together. */
export interface CountAndBytes {
  readonly count: number;
  readonly bytes: number;
}

/** Layers of one kind. Level 0 is what was flushed and not yet compacted; `open` and `frozen` are not files yet. */
export interface LayerReading extends CountAndBytes {
  readonly level: 'open' | 'frozen' | 'l0' | 'l1';
  readonly kind: 'delta' | 'image';
}

/** What the metrics read of a timeline when they are asked for. Sizes in bytes, LSNs as numbers. */
export interface TimelineReading {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly lastRecordLsn: number;
  readonly diskConsistentLsn: number;
  readonly projectedRemoteConsistentLsn: number;
  readonly visibleRemoteConsistentLsn: number;
  readonly gcCutoffLsn: number;
  readonly layers: readonly LayerReading[];
  /** Of layer files that are on the disk. */
  readonly residentBytes: number;
  /** Of layers that the newest durable index names, or the next one will. */
  readonly remoteBytes: number;
  readonly layersWaiting: number;
  readonly poisonedRecords: number;
  readonly isIngestStopped: boolean;
  /** Another node has taken the tenant over. */
  readonly isStale: boolean;
}

/** A cache as the metrics see it. */
export interface CacheReading {
  readonly name: 'block' | 'page';
  readonly usedBytes: number;
  readonly capacityBytes: number;
}

/** Where the metrics look when they are asked for. */
export interface MetricSources {
  readonly timelines: () => Iterable<TimelineReading>;
  /** Timelines that cannot be served; with an undefined timeline whole tenants. */
  readonly broken: () => Iterable<{
    readonly tenantId: TenantId;
    readonly timelineId: TimelineId | undefined;
  }>;
  readonly caches: () => Iterable<CacheReading>;
}

/** What a pageserver does beside reading and taking in, by Neon's names where it has one. */
export type StorageOperation =
  | 'layer flush'
  | 'layer flush delay'
  | 'upload delay'
  | 'compact'
  | 'create images'
  | 'gc'
  | 'rewrite bottom';

const OPERATION_BOUNDS_S = [0.01, 0.1, 1, 10, 100, 1000];

const gauge = (
  name: string,
  help: string,
  read: (timeline: TimelineReading) => number,
): MetricOfMany<TimelineReading> => ({ name: `pageserver_${name}`, help, type: 'gauge', read });

const METRICS_OF_TIMELINES: readonly MetricOfMany<TimelineReading>[] = [
  gauge('last_record_lsn', 'End of the last record taken in', (timeline) => timeline.lastRecordLsn),
  gauge(
    'disk_consistent_lsn',
    'All WAL below is in synced layer files',
    (timeline) => timeline.diskConsistentLsn,
  ),
  gauge(
    'projected_remote_consistent_lsn',
    'All WAL below is in object storage',
    (timeline) => timeline.projectedRemoteConsistentLsn,
  ),
  gauge(
    'visible_remote_consistent_lsn',
    'All WAL below is in object storage, and safekeepers may be told',
    (timeline) => timeline.visibleRemoteConsistentLsn,
  ),
  gauge('gc_cutoff_lsn', 'Pages below may have been removed', (timeline) => timeline.gcCutoffLsn),
  gauge('resident_physical_size', 'Bytes of layer files on the disk', (timeline) => timeline.residentBytes),
  gauge(
    'remote_physical_size',
    'Bytes of layers that the index names or will name',
    (timeline) => timeline.remoteBytes,
  ),
  gauge('timeline_layers_waiting', 'Layers that are not uploaded yet', (timeline) => timeline.layersWaiting),
  gauge(
    'timeline_poisoned_records',
    'Records whose pages cannot be read, since this start',
    (timeline) => timeline.poisonedRecords,
  ),
  gauge('timeline_ingest_stopped', '1: no WAL is taken in any more', (timeline) =>
    Number(timeline.isIngestStopped),
  ),
  gauge('timeline_stale', '1: another node has taken the tenant over', (timeline) =>
    Number(timeline.isStale),
  ),
];

interface LayersOfTimeline extends LayerReading {
  readonly labels: string;
}

/**
 * What a pageserver's storage engine counts, and shows of itself. Names are Neon's where it has one; sharding is not
 * there, so the label `shard_id` is always 0000.
 */
export class PageserverMetrics {
  readonly remote: RemoteMetrics;
  readonly cacheCounts: CacheCounts;
  readonly blockEvictions: Counter;
  readonly pageEvictions: Counter;
  readonly poisonedRecords: Counter;
  readonly refetchedLayers: Counter;
  readonly #readErrors: Family<Counter>;
  readonly #operations: Family<Histogram>;
  readonly #operationErrors: Family<Counter>;

  constructor(metrics: Metrics) {
    this.remote = new RemoteMetrics(metrics);
    const cacheLabels = ['content_kind', 'task_kind'];
    this.cacheCounts = new CacheCounts(
      metrics.counters('pageserver_page_cache_read_hits_total', 'Found in a cache', cacheLabels),
      metrics.counters('pageserver_page_cache_read_misses_total', 'Not found in a cache', cacheLabels),
    );
    const evictions = metrics.counters(
      'pageserver_page_cache_evictions_total',
      'What had to go out of a cache for others',
      ['key_kind'],
    );
    this.blockEvictions = evictions.of('block');
    this.pageEvictions = evictions.of('page');
    this.poisonedRecords = metrics.counter(
      'pageserver_poisoned_records_total',
      'Records that could not be taken in, whose pages cannot be read',
    );
    this.refetchedLayers = metrics.counter(
      'pageserver_missing_local_layers_total',
      'Layer files that were gone from the disk and are fetched again',
    );
    this.#readErrors = metrics.counters('pageserver_read_errors_total', 'Reads that failed', [
      'kind',
      'code',
    ]);
    this.#operations = metrics.histograms(
      'pageserver_storage_operations_seconds_global',
      'Time that operations took',
      ['operation'],
      OPERATION_BOUNDS_S,
    );
    this.#operationErrors = metrics.counters(
      'pageserver_storage_operation_errors_total',
      'Operations that failed and will be tried again',
      ['operation'],
    );
  }

  /** From now on shows what `sources` give. To be called once. */
  show(metrics: Metrics, sources: MetricSources): void {
    metrics.ofMany<TimelineReading>({
      things: sources.timelines,
      labelsOf: labelsOfTimeline,
      metrics: METRICS_OF_TIMELINES,
    });
    showLayers(metrics, sources.timelines);
    metrics.ofMany<CacheReading>({
      things: sources.caches,
      labelsOf: ({ name }) => `key_kind="${name}"`,
      metrics: [
        {
          name: 'pageserver_page_cache_size_current_bytes',
          help: 'What caches hold',
          type: 'gauge',
          read: ({ usedBytes }) => usedBytes,
        },
        {
          name: 'pageserver_page_cache_size_max_bytes',
          help: 'What caches may hold',
          type: 'gauge',
          read: ({ capacityBytes }) => capacityBytes,
        },
      ],
    });
    metrics.ofMany({
      things: sources.broken,
      labelsOf: ({ tenantId, timelineId = '' }) => labelsOfTimeline({ tenantId, timelineId }),
      metrics: [
        {
          name: 'pageserver_broken_timelines',
          help: '1: this timeline, or without one the whole tenant, cannot be served',
          type: 'gauge',
          read: () => 1,
        },
      ],
    });
    const all = (read: (timeline: TimelineReading) => number): number => {
      let sum = 0;
      for (const timeline of sources.timelines()) sum += read(timeline);
      return sum;
    };
    metrics.gaugeFrom('pageserver_resident_physical_size_global', 'Bytes of layer files on the disk', () =>
      all(({ residentBytes }) => residentBytes),
    );
    metrics.gaugeFrom('pageserver_timeline_ephemeral_bytes', 'Bytes in layers that are not files yet', () =>
      all(({ layers }) =>
        layers.reduce(
          (sum, { level, bytes }) => (level === 'open' || level === 'frozen' ? sum + bytes : sum),
          0,
        ),
      ),
    );
  }

  /** Counts a read that has failed. What is no VarveError is a bug, and is not counted. */
  noteReadError(error: unknown): void {
    if (error instanceof VarveError) this.#readErrors.of(error.kind, error.code).increment();
  }

  /** Does it, and counts how long it took, or that it failed. Who was cancelled has not failed. */
  async measure<Result>(
    clock: Clock,
    operation: StorageOperation,
    action: () => Promise<Result>,
  ): Promise<Result> {
    const startMs = clock.monotonicMs();
    try {
      const result = await action();
      this.#operations.of(operation).observe((clock.monotonicMs() - startMs) / 1000);
      return result;
    } catch (error) {
      const isCancelled = error instanceof VarveError && error.kind === 'cancelled';
      if (!isCancelled) this.#operationErrors.of(operation).increment();
      throw error;
    }
  }
}

function showLayers(metrics: Metrics, timelines: MetricSources['timelines']): void {
  metrics.ofMany<LayersOfTimeline>({
    things: function* () {
      for (const timeline of timelines()) {
        const labels = labelsOfTimeline(timeline);
        for (const layers of timeline.layers) yield { ...layers, labels };
      }
    },
    labelsOf: ({ labels, level, kind }) => `${labels},level="${level}",kind="${kind}"`,
    metrics: [
      { name: 'pageserver_layer_count', help: 'Layers', type: 'gauge', read: ({ count }) => count },
      { name: 'pageserver_layer_bytes', help: 'Bytes of layers', type: 'gauge', read: ({ bytes }) => bytes },
    ],
  });
}

const labelsOfTimeline = ({ tenantId, timelineId }: { tenantId: string; timelineId: string }): string =>
  `tenant_id="${tenantId}",shard_id="0000",timeline_id="${timelineId}"`;
