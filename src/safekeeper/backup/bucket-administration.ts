import { VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { TimelineKey } from '../../contracts/safekeeper-api.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { WalBackup } from '../administration/extensions.ts';
import type { Timelines } from '../timeline/timelines.ts';
import type { Upkeep } from '../upkeep/upkeep.ts';
import type { Backup } from './backup.ts';
import { translateMissing } from './bucket-reader.ts';
import { UPLOADER_LAG_MAX_BYTES } from './choose-uploader.ts';
import { segmentKey, type TimelineName } from './object-names.ts';
import { resetPartialBackup } from './partial-backup.ts';
import { removeRemote } from './remove-remote.ts';

export interface BucketAdministrationDoors {
  readonly backup: Backup;
  readonly timelines: Timelines;
  readonly upkeep: Upkeep;
  /** The safekeeper's life. */
  readonly signal: AbortSignal;
}

/** What can be asked about timelines in the bucket over HTTP. */
export class BucketAdministration implements WalBackup {
  readonly offloaderLagBytesMax: number = UPLOADER_LAG_MAX_BYTES;
  readonly #doors: BucketAdministrationDoors;

  constructor(doors: BucketAdministrationDoors) {
    this.#doors = doors;
  }

  isUploading({ tenant_id, timeline_id }: TimelineKey): boolean {
    const timeline = this.#doors.timelines.find(tenant_id, timeline_id);
    return timeline !== undefined && this.#doors.upkeep.isUploading(timeline);
  }

  async removeRemote({ tenant_id, timeline_id }: TimelineKey): Promise<void> {
    await removeRemote(this.#doors.backup.objects, tenant_id, timeline_id, this.#doors.signal);
  }

  resetPartial({ tenant_id, timeline_id }: TimelineKey): Promise<string[]> {
    return resetPartialBackup(this.#doors.timelines.get(tenant_id, timeline_id));
  }

  async copyWholeSegments(
    source: TimelineKey,
    targetTimelineId: TimelineId,
    belowLsn: Lsn,
    signal: AbortSignal,
  ): Promise<void> {
    const { tenant_id: tenantId, timeline_id: timelineId } = source;
    using timeline = await this.#doors.timelines.get(tenantId, timelineId).stay('state');
    const { persistent, backupLsn } = timeline.acceptor.acceptor;
    const { segmentBytes } = persistent.server;
    const end = segmentNumber(belowLsn, segmentBytes);
    if (end > segmentNumber(backupLsn, segmentBytes)) {
      throw new VarveError('unavailable', 'NOT_BACKED_UP', 'the bucket does not have this WAL yet', {
        lsn: belowLsn,
      });
    }
    const both = AbortSignal.any([signal, timeline.signal]);
    const target = { tenantId, timelineId: targetTimelineId };
    const { limit } = this.#doors.backup.uploads;
    let segment = segmentNumber(persistent.timelineStartLsn, segmentBytes);
    while (segment < end) {
      const copies: Promise<void>[] = [];
      while (copies.length < limit && segment < end) {
        copies.push(this.#copy(timeline, target, segment++, segmentBytes, both));
      }
      // None goes on when this has failed.
      for (const copy of await Promise.allSettled(copies)) if (copy.status === 'rejected') throw copy.reason;
    }
  }

  async #copy(
    source: TimelineName,
    target: TimelineName,
    segment: number,
    segmentBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { objects, uploads } = this.#doors.backup;
    const key = segmentKey(source, segment, segmentBytes);
    const body = { sizeBytes: segmentBytes, pieces: () => objects.getStream(key, { signal }) };
    await uploads.run(signal, async () => {
      try {
        await objects.put(segmentKey(target, segment, segmentBytes), body, { signal });
      } catch (error) {
        throw translateMissing(error, key, segment * segmentBytes);
      }
    });
  }
}
