import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SafekeeperAddress } from '../../src/contracts/membership.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { silentLogger } from '../../src/observe/log.ts';
import { WalReceiverCounts } from '../../src/pageserver/ingest/receiver/receiver-counts.ts';
import { StatusFeed } from '../../src/pageserver/ingest/receiver/status-feed.ts';
import { WalReceiver } from '../../src/pageserver/ingest/receiver/wal-receiver.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { HostProcess } from '../safekeeper/host-process.ts';
import { type Spread, spreadOf, threadMs } from '../support/measure.ts';
import { NO_UPKEEP, PageserverBed } from '../support/pageserver-bed.ts';
import type { Recording } from '../support/recording.ts';

/** WAL from a safekeeper in a process of its own, which has all of it already. */
export interface ReceiveResult {
  readonly bytes: number;
  readonly loopMs: Spread;
  readonly elapsedMs: Spread;
}

const TIMEOUT_MS = 60_000;
const ADDRESS = { id: 1, host: '127.0.0.1' } as const;

export async function measureReceive(recording: Recording, repeats: number): Promise<ReceiveResult> {
  const wal = recording.readWal();
  const directory = await mkdtemp(join(tmpdir(), 'varve-bench-ingest-'));
  try {
    await using safekeeper = new HostProcess();
    const { port } = await safekeeper.ask('startSafekeeper', { nodeId: 1, directory, sync: 'off' });
    await using bed = await PageserverBed.open({ settings: { ...NO_UPKEEP, openLayerBytes: 2 ** 32 } });
    const loop: number[] = [];
    const elapsed: number[] = [];
    for (let pass = -1; pass < repeats; pass++) {
      const active = await bed.importRecording(recording);
      const { tenantId, timelineId, systemIdentifier } = active.timeline;
      const { startLsn, segmentBytes } = recording;
      const given = { bytes: wal, startLsn, systemIdentifier, segmentBytes };
      await safekeeper.ask('push', { port, tenantId, timelineId, wal: given });
      const took = await receive(active, { ...ADDRESS, pgPort: port }, recording.endLsn);
      await bed.tenant.deleteTimeline(timelineId);
      if (pass < 0) continue;
      loop.push(took.loopMs);
      elapsed.push(took.elapsedMs);
    }
    return { bytes: wal.length, loopMs: spreadOf(loop), elapsedMs: spreadOf(elapsed) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function receive(
  { timeline }: ActiveTimeline,
  safekeeper: SafekeeperAddress,
  endLsn: number,
): Promise<{ loopMs: number; elapsedMs: number }> {
  const life = new AbortController();
  const sockets = nodeSockets((error) => {
    throw error;
  });
  const doors = { sockets, clock: nodeClock, random: nodeRandom };
  const access = { applicationName: 'pageserver-1' };
  const feed = new StatusFeed({ doors, logger: silentLogger, access, signal: life.signal });
  const receiver = new WalReceiver({
    doors,
    logger: silentLogger,
    access,
    feed,
    intake: await TimelineIntake.start(timeline),
    counts: new WalReceiverCounts(),
    members: [safekeeper],
    tenantId: timeline.tenantId,
    timelineId: timeline.timelineId,
    systemIdentifier: timeline.systemIdentifier,
    shardNumber: 0,
    currentSizeBytes: () => 0,
  });
  const running = receiver.run(life.signal);
  try {
    // From the first batch on: what comes before is connecting.
    await timeline.lsns.wait(timeline.lastRecordLsn + 8, TIMEOUT_MS, life.signal);
    const start = { ms: performance.now(), loopMs: threadMs() };
    await timeline.lsns.wait(endLsn, TIMEOUT_MS, life.signal);
    return { loopMs: threadMs() - start.loopMs, elapsedMs: performance.now() - start.ms };
  } finally {
    life.abort();
    await running;
    await feed.settled();
  }
}
