import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { TimelineId } from '../../src/base/ids.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';

const PIECE_BYTES = 96 * 1024;
const POSTGRES_TIMELINE = 1;

/** Brings timelines WAL from the segment files of a server, each from where it is. */
export class HostFeeds {
  readonly #intakes = new Map<TimelineId, Promise<TimelineIntake>>();

  /** Returns what is remotely consistent. */
  async feed(
    { timeline }: ActiveTimeline,
    { directory, lsn }: { readonly directory: string; readonly lsn: number },
  ): Promise<number> {
    let started = this.#intakes.get(timeline.timelineId);
    if (started === undefined) {
      started = TimelineIntake.start(timeline);
      this.#intakes.set(timeline.timelineId, started);
    }
    const intake = await started;
    const { walSegmentBytes: segmentBytes } = timeline;
    while (intake.position < lsn) {
      const offset = intake.position % segmentBytes;
      const lengthBytes = Math.min(PIECE_BYTES, segmentBytes - offset, lsn - intake.position);
      const name = formatSegmentName(
        POSTGRES_TIMELINE,
        segmentNumber(intake.position, segmentBytes),
        segmentBytes,
      );
      await intake.take(readExactly(join(directory, name), offset, lengthBytes));
    }
    return intake.positions.remoteConsistentLsn;
  }
}

function readExactly(path: string, offset: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  const descriptor = openSync(path, 'r');
  try {
    for (let done = 0; done < lengthBytes; ) {
      const count = readSync(descriptor, bytes, done, lengthBytes - done, offset + done);
      if (count === 0) throw new Error(`${path} ends before ${offset + lengthBytes}`);
      done += count;
    }
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}
