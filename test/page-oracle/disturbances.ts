import type { TimelineId } from '../../src/base/ids.ts';
import { KIND_RELATION_SIZE, relationBlockKey } from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import { FORK_FREE_SPACE_MAP } from '../../src/postgres/wal/record-header.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { TIDY_TASKS, type TidyTask } from './host-protocol.ts';
import { HostRequestError, type StorageHost } from './storage-host.ts';

const PAGES_MAX = 16;
const RELATIONS_AT_ONCE = 6;
/** Answers to be expected of a timeline that others delete, or whose history others shorten, meanwhile. */
const EXPECTED_CODES = new Set([
  'TIMELINE_NOT_FOUND',
  'LSN_BELOW_CUTOFF',
  'CLOSING',
  'CANCELLED',
  'TIMELINE_BUSY',
  'BAD_BRANCH_POINT',
]);

/** What happens to storage beside being written and compared: reads of pages as they are now, and tidying up. */
export class Disturbances {
  readonly #host: StorageHost;
  readonly #random: SeededRandom;
  readonly tidied = new Map<TidyTask, number>();
  readonly complaints: string[] = [];

  constructor(host: StorageHost, random: SeededRandom) {
    this.#host = host;
    this.#random = random;
  }

  /** Any task on any timeline, most often the main one. */
  async tidy(main: TimelineId): Promise<void> {
    const status = await this.#host.request({ do: 'status' });
    const timelineId = this.#random.chance(0.6) ? main : this.#random.pick(status).timelineId;
    await this.#runTask(timelineId, this.#random.pick(TIDY_TASKS));
  }

  /** Every task, one after another, and once more: what one has done gives others something to do. */
  async tidyAll(timelineId: TimelineId): Promise<void> {
    for (const task of [...TIDY_TASKS, ...TIDY_TASKS]) await this.#runTask(timelineId, task);
  }

  async #runTask(timelineId: TimelineId, task: TidyTask): Promise<void> {
    await this.#tolerate(async () => {
      const count = await this.#host.request({ do: 'tidy', timelineId, task });
      this.tidied.set(task, (this.tidied.get(task) ?? 0) + count);
    });
  }

  /** Some pages of some relations as they are now, which leaves them in the caches. */
  async readHead(): Promise<void> {
    const status = await this.#host.request({ do: 'status' });
    if (status.length === 0) return;
    const { timelineId, lastRecordLsn: lsn } = this.#random.pick(status);
    await this.#tolerate(async () => {
      const sizes = await this.#host.request({ do: 'scan', timelineId, lsn, kind: KIND_RELATION_SIZE });
      if (sizes.length === 0) this.complaints.push(`timeline ${timelineId} has no relation at all at ${lsn}`);
      for (let number = 0; number < RELATIONS_AT_ONCE && sizes.length > 0; number++) {
        const { key, bytes } = this.#random.pick(sizes);
        const blocks = decodeSize(bytes);
        if (key.field5 === FORK_FREE_SPACE_MAP || blocks === 0) continue;
        const first = this.#random.below(blocks);
        const relation = { tablespace: key.field2, database: key.field3, relation: key.field4 };
        const firstKey = relationBlockKey(relation, key.field5, first);
        const count = Math.min(PAGES_MAX, blocks - first);
        const { failures } = await this.#host.request({ do: 'pages', timelineId, lsn, firstKey, count });
        for (const [place, failure] of failures) {
          if (
            ![...EXPECTED_CODES].some((code) => failure.includes(code)) &&
            !failure.includes('can be read from')
          ) {
            this.complaints.push(`reading block ${first + place} of ${JSON.stringify(key)}: ${failure}`);
          }
        }
      }
    });
  }

  async #tolerate(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof HostRequestError) || !EXPECTED_CODES.has(error.code)) throw error;
    }
  }
}
