import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { type LoopDelays, LoopWatch, watchCalmLoop } from '../support/loop-watch.ts';
import { processMs, type Spread, spreadOf, threadMs } from '../support/measure.ts';
import { NO_UPKEEP, PageserverBed, takeWal } from '../support/pageserver-bed.ts';
import type { Recording } from '../support/recording.ts';

/** WAL from memory into an open layer, and that into a layer file. */
export interface TakeResult {
  readonly bytes: number;
  readonly values: number;
  /** Of the thread that runs the event loop. */
  readonly loopMs: Spread;
  readonly elapsedMs: Spread;
  /** Processor time of all threads until it is a layer file, bringing that to the bucket included. */
  readonly allMs: Spread;
  readonly indexBytesPerValue: number;
  readonly layerBytes: number;
  readonly rssMiB: number;
}

const MEBIBYTE = 1024 * 1024;

export async function measureTake(recording: Recording, repeats: number): Promise<TakeResult> {
  const wal = recording.readWal();
  await using bed = await PageserverBed.open({ settings: { ...NO_UPKEEP, openLayerBytes: 4096 * MEBIBYTE } });
  const loop: number[] = [];
  const elapsed: number[] = [];
  const all: number[] = [];
  let result = { bytes: 0, values: 0, indexBytesPerValue: 0, layerBytes: 0, rssMiB: 0 };
  // The first ones warm up.
  for (let pass = -2; pass < repeats; pass++) {
    const active = await bed.importRecording(recording);
    const { timeline } = active;
    const layersBefore = [...timeline.layers];
    const start = { ms: performance.now(), loopMs: threadMs(), allMs: processMs() };
    const bytes = await takeWal(active, recording, wal);
    const loopMs = threadMs() - start.loopMs;
    const elapsedMs = performance.now() - start.ms;
    const values = timeline.memoryLayers.reduce((sum, layer) => sum + layer.values, 0);
    const indexBytes = timeline.memoryLayers.reduce((sum, layer) => sum + layer.indexBytes, 0);
    const rssMiB = process.memoryUsage().rss / MEBIBYTE;
    await timeline.flush();
    const allMs = processMs() - start.allMs;
    const added = [...timeline.layers].filter((layer) => !layersBefore.includes(layer));
    const layerBytes = added.reduce((sum, layer) => sum + layer.sizeBytes, 0);
    await bed.tenant.deleteTimeline(timeline.timelineId);
    result = { bytes, values, indexBytesPerValue: indexBytes / values, layerBytes, rssMiB };
    if (pass < 0) continue;
    loop.push(loopMs);
    elapsed.push(elapsedMs);
    all.push(allMs);
  }
  return { ...result, loopMs: spreadOf(loop), elapsedMs: spreadOf(elapsed), allMs: spreadOf(all) };
}

/** The same while layers are flushed, synced and compacted all the time. */
export interface BusyResult {
  readonly elapsedMs: number;
  readonly loopMs: number;
  readonly bytes: number;
  readonly delays: LoopDelays;
  /** Of the machine, at about the same time. */
  readonly calm: LoopDelays;
  readonly layers: number;
}

const BUSY: Partial<TimelineSettings> = { compactionThreshold: 3, imageThreshold: 2 };

export async function measureBusy(recording: Recording): Promise<BusyResult> {
  const wal = recording.readWal();
  const settings = { ...BUSY, openLayerBytes: wal.length / 8, targetBytes: wal.length / 8 };
  await using bed = await PageserverBed.open({ settings });
  const warmUp = await bed.importRecording(recording);
  await takeWal(warmUp, recording, wal.subarray(0, wal.length / 4));
  await bed.tenant.deleteTimeline(warmUp.timeline.timelineId);
  const active = await bed.importRecording(recording);
  const watch = new LoopWatch();
  const start = { ms: performance.now(), loopMs: threadMs() };
  const bytes = await takeWal(active, recording, wal);
  await active.timeline.flush();
  await active.upkeep.settled();
  const elapsedMs = performance.now() - start.ms;
  const loopMs = threadMs() - start.loopMs;
  const delays = watch.stop();
  const calm = await watchCalmLoop(Math.min(1000, elapsedMs));
  return { elapsedMs, loopMs, bytes, delays, calm, layers: active.timeline.layers.size };
}
