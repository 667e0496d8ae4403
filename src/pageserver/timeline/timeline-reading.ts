import type { TimelineReading } from '../metrics.ts';
import type { Timeline } from './timeline.ts';

const noLayers = (): { count: number; bytes: number } => ({ count: 0, bytes: 0 });

/** What the metrics show of a timeline. Looks at all layers. */
export function readTimeline(timeline: Timeline): TimelineReading {
  const { open, frozen } = timeline.memoryLayerBytes;
  const sums = { level0: noLayers(), delta: noLayers(), image: noLayers() };
  const level0 = new Set(timeline.layers.level0);
  let residentBytes = 0;
  for (const layer of timeline.layers) {
    const sum = sums[level0.has(layer) ? 'level0' : layer.kind];
    sum.count++;
    sum.bytes += layer.sizeBytes;
    if (layer.isLocal) residentBytes += layer.sizeBytes;
  }
  const openLayers = timeline.memoryLayers.length - timeline.frozenLayers;
  return {
    tenantId: timeline.tenantId,
    timelineId: timeline.timelineId,
    lastRecordLsn: timeline.lastRecordLsn,
    diskConsistentLsn: timeline.diskConsistentLsn,
    projectedRemoteConsistentLsn: timeline.remote.projectedRemoteConsistentLsn,
    visibleRemoteConsistentLsn: timeline.remote.visibleRemoteConsistentLsn,
    gcCutoffLsn: timeline.gcCutoffLsn,
    layers: [
      { level: 'open', kind: 'delta', count: openLayers, bytes: open },
      { level: 'frozen', kind: 'delta', count: timeline.frozenLayers, bytes: frozen },
      { level: 'l0', kind: 'delta', ...sums.level0 },
      { level: 'l1', kind: 'delta', ...sums.delta },
      { level: 'l1', kind: 'image', ...sums.image },
    ],
    residentBytes,
    remoteBytes: sums.level0.bytes + sums.delta.bytes + sums.image.bytes,
    layersWaiting: timeline.remote.waitingLayers,
    poisonedRecords: timeline.poisonedRecords,
    isIngestStopped: timeline.ingestStop !== undefined,
    isStale: timeline.remote.isStale,
  };
}
