import { expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../base/ids.ts';
import { nodeClock } from '../io/node/clock.ts';
import { Metrics } from '../observe/metrics.ts';
import { peerKindOf, SafekeeperMetrics, type TimelineReading } from './metrics.ts';

const reading: TimelineReading = {
  tenantId: parseTenantId('11'.repeat(16)),
  timelineId: parseTimelineId('33'.repeat(16)),
  commitLsn: 1,
  backupLsn: 2,
  flushLsn: 3,
  epochStartLsn: 4,
  peerHorizonLsn: 5,
  remoteConsistentLsn: 6,
  term: 7,
  diskUsageBytes: 8,
  connectedComputes: 9,
  isActive: true,
  isWalBackupActive: false,
  pageserverLastReceivedLsn: 10,
  lastFeedbackS: 11.5,
  isPageserverCorrupt: true,
  feedbackCount: 12,
  writtenWalBytes: 13,
  writtenWalS: 14,
  flushedWalS: 15,
};

const LABELS = `{tenant_id="${reading.tenantId}",timeline_id="${reading.timelineId}"}`;

test('each timeline has its series, under the names of Neon, until it goes', async () => {
  const metrics = new Metrics(nodeClock);
  const timelines = new Map([['a', reading]]);
  new SafekeeperMetrics(metrics, () => timelines.values());
  const series = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.includes(LABELS))
      .map((line) => line.replace('safekeeper_', '').replace(LABELS, ''));
  const text = await metrics.expose();
  expect(series(text)).toEqual([
    'commit_lsn 1',
    'backup_lsn 2',
    'flush_lsn 3',
    'epoch_start_lsn 4',
    'peer_horizon_lsn 5',
    'remote_consistent_lsn 6',
    'acceptor_term 7',
    'disk_usage_bytes 8',
    'connected_computes 9',
    'timeline_active 1',
    'wal_backup_active 0',
    'ps_last_received_lsn 10',
    'feedback_last_time_seconds 11.5',
    'ps_feedback_count_total 12',
    'written_wal_bytes_total 13',
    'written_wal_seconds_total 14',
    'flushed_wal_seconds_total 15',
  ]);
  for (const line of ['timelines 1', 'active_timelines 1', 'ps_corruption_detected 1']) {
    expect(text).toContain(`\nsafekeeper_${line}\n`);
  }
  timelines.clear();
  const after = await metrics.expose();
  expect(series(after)).toEqual([]);
  expect(after).toContain('\nsafekeeper_timelines 0\n');
});

test('every metric has one name, a help text and a type, and is written once', async () => {
  const metrics = new Metrics(nodeClock);
  const safekeeper = new SafekeeperMetrics(metrics, () => [reading]);
  safekeeper.walReceiverQueueDepth.observe(3);
  safekeeper.walReceiverQueueDepthTotal.add(2);
  safekeeper.walReceiverQueueSizeTotal.add(4096);
  safekeeper.pgIoBytes.of('a', 'b', peerKindOf('pageserver'), 'write', 'false').add(100);
  const text = await metrics.expose();
  const types = [...text.matchAll(/^# TYPE (\w+) (counter|gauge|histogram)$/gm)].map(([, name]) => name);
  const helps = [...text.matchAll(/^# HELP (\w+) \S/gm)].map(([, name]) => name);
  expect(types).toEqual(helps);
  expect(new Set(types).size).toBe(types.length);
  for (const name of types) expect(name).toMatch(/^safekeeper_[a-z_]+$/);
  expect(text).toContain('safekeeper_wal_receiver_queue_depth_bucket{le="4"} 1\n');
  expect(text).toContain('safekeeper_wal_receiver_queue_depth_bucket{le="2"} 0\n');
  expect(text).toContain('safekeeper_wal_receiver_queue_depth_total 2\n');
  expect(text).toContain('safekeeper_wal_receiver_queue_size_total 4096\n');
  const labels = 'client_az="a",sk_az="b",app_name="pageserver",dir="write",same_az="false"';
  expect(text).toContain(`safekeeper_pg_io_bytes_total{${labels}} 100\n`);
});

test.each([
  ['pageserver-1', 'pageserver'],
  ['walproposer', 'walproposer'],
  ['psql', 'other'],
  ['', 'unnamed'],
  [undefined, 'unnamed'],
])('the peer %s counts as %s', (name, kind) => {
  expect(peerKindOf(name)).toBe(kind);
});
