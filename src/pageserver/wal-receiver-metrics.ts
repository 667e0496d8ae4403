import type { Counter } from '../observe/metric-cells.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { WalReceivers } from './wal-receivers.ts';

/** Shows what the WAL receivers do, by Neon's names where it has one. */
export function showWalReceivers(metrics: Metrics, receivers: WalReceivers): void {
  const { counts } = receivers;
  const counter = (name: string, help: string, cell: Counter): void =>
    metrics.counterFrom(name, help, () => cell.value);
  metrics.gaugeFrom(
    'pageserver_walreceiver_active_managers',
    'WAL connections to safekeepers',
    () => counts.connections.value,
  );
  metrics.gaugeFrom(
    'pageserver_wal_ingest_started_timelines',
    'Timelines of which memory holds what ingest has to know',
    () => receivers.startedCount,
  );
  counter(
    'pageserver_walreceiver_started_connections_total',
    'WAL connections that were begun',
    counts.connects,
  );
  counter(
    'pageserver_walreceiver_failed_connections_total',
    'WAL connections that failed, or were never made',
    counts.failures,
  );
  counter(
    'pageserver_walreceiver_own_failures_total',
    'WAL connections that were given up since nothing could be taken in here, whatever came',
    counts.ownFailures,
  );
  counter(
    'pageserver_walreceiver_damaged_sources_total',
    'Safekeepers that were given up because of what they sent',
    counts.damages,
  );
  metrics.countersFrom(
    'pageserver_walreceiver_switches_total',
    'WAL connections that this side has left, by reason',
    'reason',
    () => Object.entries(counts.left).map(([reason, { value }]) => ({ label: reason, value })),
  );
  counter('pageserver_wal_ingest_bytes_received', 'Bytes of WAL that have come', counts.receivedBytes);
  counter(
    'pageserver_walreceiver_repeated_bytes_total',
    'Bytes of WAL that have come and were there already',
    counts.repeatedBytes,
  );
  metrics.gaugeFrom(
    'pageserver_walreceiver_waiting_bytes',
    'Bytes of WAL that have come and are not taken in yet',
    () => counts.waitingBytes.value,
  );
  counter('pageserver_walreceiver_feedbacks_total', 'Feedback sent to safekeepers', counts.feedbacks);
}
