import { VarveError } from '../base/errors.ts';
import { TaskSet } from '../base/task-set.ts';
import type { Timer } from '../io/clock.ts';
import type { Branches } from './branches.ts';
import type { ControlParts } from './parts.ts';

/** So often branches that have expired are looked for, at most. */
const SWEEP_INTERVAL_MS = 60_000;
/** setTimeout takes no more. */
const TIMER_MS_MAX = 2 ** 31 - 1;
const DAY_MS = 24 * 3600_000;
/** For so long a request may be repeated by its key. */
const IDEMPOTENCY_MS = DAY_MS;
/** For so long what has come of an operation can be asked for. */
const OPERATIONS_MS = 7 * DAY_MS;

/** Deletes branches that have expired. Where none ever does it costs nothing: the timer is that of the next one. */
export class Upkeep {
  readonly #parts: ControlParts;
  readonly #branches: () => Branches;
  readonly #tasks = new TaskSet();
  #timer: Timer | undefined;
  #lastSweepMs = -Infinity;
  #isClosed = false;

  constructor(parts: ControlParts, branches: () => Branches) {
    this.#parts = parts;
    this.#branches = branches;
  }

  /** At the start: forgets what is too old to be asked for. */
  async tidy(): Promise<void> {
    const { database, clock } = this.#parts;
    const nowMs = clock.wallMs();
    await database.query(async (queries) => {
      await queries
        .deleteFrom('idempotency')
        .where('created_at', '<', new Date(nowMs - IDEMPOTENCY_MS))
        .execute();
      await queries
        .deleteFrom('operations')
        .where('finished_at', '<', new Date(nowMs - OPERATIONS_MS))
        .execute();
    });
  }

  /** Something is to expire: it is looked when. */
  arm(): void {
    if (!this.#isClosed) this.#tasks.run(() => this.#arm());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#tasks.settled();
  }

  async #arm(): Promise<void> {
    const { database, clock, logger } = this.#parts;
    let nextMs: number | undefined;
    try {
      const row = await database.query((queries) =>
        queries
          .selectFrom('branches')
          .select('expires_at')
          .where('expires_at', 'is not', null)
          .where('state', '!=', 'deleting')
          .orderBy('expires_at')
          .executeTakeFirst(),
      );
      nextMs = row?.expires_at?.getTime();
      if (nextMs === undefined) return;
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      logger.warn('Branches that expire could not be looked for', { error });
    }
    if (this.#isClosed) return;
    const soonestMs = this.#lastSweepMs + SWEEP_INTERVAL_MS - clock.monotonicMs();
    const waitMs = nextMs === undefined ? SWEEP_INTERVAL_MS : nextMs - clock.wallMs();
    this.#timer?.cancel();
    this.#timer = clock.setTimer(Math.min(TIMER_MS_MAX, Math.max(0, waitMs, soonestMs)), () => {
      this.#tasks.run(() => this.#sweep());
    });
  }

  async #sweep(): Promise<void> {
    const { database, clock, logger } = this.#parts;
    this.#lastSweepMs = clock.monotonicMs();
    try {
      const rows = await database.query((queries) =>
        queries
          .selectFrom('branches')
          .select(['id', 'project_id'])
          .where('expires_at', '<=', new Date(clock.wallMs()))
          .where('state', '=', 'ready')
          .execute(),
      );
      for (const { id, project_id } of rows) await this.#expire(project_id, id);
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      logger.warn('Branches that have expired could not be deleted', { error });
    }
    this.arm();
  }

  async #expire(projectId: string, branchId: string): Promise<void> {
    const { logger } = this.#parts;
    try {
      await this.#branches().delete(projectId, branchId);
      logger.info('A branch has expired', { projectId, branchId });
    } catch (error) {
      // It has children, say, or is protected: it is looked at again the next time.
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      logger.warn('A branch has expired, and cannot be deleted', { projectId, branchId, error });
    }
  }
}
