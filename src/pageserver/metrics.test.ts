import { expect, test } from 'vitest';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import { nodeClock } from '../io/node/clock.ts';
import { Metrics } from '../observe/metrics.ts';
import { countersByTask } from './layers/cache-counts.ts';
import { PageserverMetrics, type TimelineReading } from './metrics.ts';

const reading: TimelineReading = {
  tenantId: parseTenantId('11'.repeat(16)),
  timelineId: parseTimelineId('33'.repeat(16)),
  lastRecordLsn: 1,
  diskConsistentLsn: 2,
  projectedRemoteConsistentLsn: 3,
  visibleRemoteConsistentLsn: 4,
  gcCutoffLsn: 5,
  layers: [
    { level: 'open', kind: 'delta', count: 1, bytes: 60 },
    { level: 'frozen', kind: 'delta', count: 2, bytes: 70 },
    { level: 'l0', kind: 'delta', count: 3, bytes: 80 },
    { level: 'l1', kind: 'image', count: 4, bytes: 90 },
  ],
  residentBytes: 6,
  remoteBytes: 7,
  layersWaiting: 8,
  poisonedRecords: 9,
  isIngestStopped: true,
  isStale: false,
};

const LABELS = `tenant_id="${reading.tenantId}",shard_id="0000",timeline_id="${reading.timelineId}"`;

function show(timelines: readonly TimelineReading[] = [reading]) {
  const metrics = new Metrics(nodeClock);
  const pageserver = new PageserverMetrics(metrics);
  pageserver.show(metrics, {
    timelines: () => timelines,
    broken: () => [{ tenantId: reading.tenantId, timelineId: undefined }],
    caches: () => [{ name: 'page', usedBytes: 10, capacityBytes: 20 }],
  });
  return { metrics, pageserver };
}

test('each timeline has its series, under the names of Neon where there are such', async () => {
  const text = await show().metrics.expose();
  const series = text
    .split('\n')
    .filter((line) => line.includes(LABELS))
    .map((line) => line.replace('pageserver_', '').replace(LABELS, ''));
  expect(series).toEqual([
    'last_record_lsn{} 1',
    'disk_consistent_lsn{} 2',
    'projected_remote_consistent_lsn{} 3',
    'visible_remote_consistent_lsn{} 4',
    'gc_cutoff_lsn{} 5',
    'resident_physical_size{} 6',
    'remote_physical_size{} 7',
    'timeline_layers_waiting{} 8',
    'timeline_poisoned_records{} 9',
    'timeline_ingest_stopped{} 1',
    'timeline_stale{} 0',
    'layer_count{,level="open",kind="delta"} 1',
    'layer_count{,level="frozen",kind="delta"} 2',
    'layer_count{,level="l0",kind="delta"} 3',
    'layer_count{,level="l1",kind="image"} 4',
    'layer_bytes{,level="open",kind="delta"} 60',
    'layer_bytes{,level="frozen",kind="delta"} 70',
    'layer_bytes{,level="l0",kind="delta"} 80',
    'layer_bytes{,level="l1",kind="image"} 90',
  ]);
  for (const line of [
    'pageserver_resident_physical_size_global 6',
    'pageserver_timeline_ephemeral_bytes 130',
    'pageserver_page_cache_size_current_bytes{key_kind="page"} 10',
    'pageserver_page_cache_size_max_bytes{key_kind="page"} 20',
    `pageserver_broken_timelines{tenant_id="${reading.tenantId}",shard_id="0000",timeline_id=""} 1`,
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
});

test('what is counted in cells: caches by task and content, failed reads by kind, operations', async () => {
  const { metrics, pageserver } = show([]);
  countersByTask(pageserver.cacheCounts.hits, 'delta').ingest.add(3);
  pageserver.noteReadError(new VarveError('unavailable', 'LSN_NOT_REACHED', 'not yet'));
  pageserver.noteReadError(new TypeError('a bug'));
  expect(await pageserver.measure(nodeClock, 'gc', async () => 5)).toBe(5);
  for (const kind of ['corruption', 'cancelled'] as const) {
    const failing = pageserver.measure(nodeClock, 'compact', async () => {
      throw new VarveError(kind, 'X', 'y');
    });
    await expect(failing).rejects.toMatchObject({ kind });
  }
  const text = await metrics.expose();
  for (const line of [
    'pageserver_page_cache_read_hits_total{content_kind="delta",task_kind="ingest"} 3',
    'pageserver_read_errors_total{kind="unavailable",code="LSN_NOT_REACHED"} 1',
    'pageserver_storage_operations_seconds_global_count{operation="gc"} 1',
    'pageserver_storage_operation_errors_total{operation="compact"} 1',
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
  expect(text).not.toContain('TypeError');
});

test('every metric has one name, a help text and a type, and is written once', async () => {
  const text = await show().metrics.expose();
  const types = [...text.matchAll(/^# TYPE (\w+) (counter|gauge|histogram)$/gm)].map(([, name]) => name);
  const helps = [...text.matchAll(/^# HELP (\w+) \S/gm)].map(([, name]) => name);
  expect(types).toEqual(helps);
  expect(new Set(types).size).toBe(types.length);
  for (const name of types) expect(name).toMatch(/^pageserver_[a-z0-9_]+$/);
});
