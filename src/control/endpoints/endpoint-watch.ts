import { VarveError } from '../../base/errors.ts';
import type { EndpointEvents, EndpointSpec, RunningEndpoint } from '../../contracts/endpoint-manager.ts';
import { describeFailure } from '../decisions/after-failure.ts';
import { afterRequest, afterStart } from '../decisions/endpoint-states.ts';
import { type EndpointRow, getEndpoint } from '../find-rows.ts';
import { noteFailed, noteRunning } from '../operations/endpoint-kinds.ts';
import type { ControlParts } from '../parts.ts';
import { addressOfEndpoint, specOf } from './endpoint-spec.ts';

/** How long a client may be held while its branch is given another timeline. */
const REPLACING_WAIT_MS = 60_000;

/** What endpoints do by themselves, and what they do when the control plane starts. */
export class EndpointWatch implements EndpointEvents {
  readonly #getParts: () => ControlParts;

  /** @param getParts the manager, which is told of this, is one of them */
  constructor(getParts: () => ControlParts) {
    this.#getParts = getParts;
  }

  get #parts(): ControlParts {
    return this.#getParts();
  }

  async onWake(endpointId: string): Promise<EndpointSpec> {
    const { database, runner } = this.#parts;
    await this.#branchIsThere(endpointId);
    using _lock = await runner.locks.take(endpointId);
    await database.change(async (change) => {
      const row = await getEndpoint(change, endpointId);
      // It may be told so again, by a manager that did not get the answer.
      if (row.state === 'starting') return;
      const state = afterRequest('wake', row.state);
      if (state === 'nothing') return;
      await change.updateTable('endpoints').set({ state }).where('id', '=', endpointId).execute();
    });
    try {
      return await specOf(this.#parts, endpointId);
    } catch (error) {
      await database.query((queries) =>
        queries
          .updateTable('endpoints')
          .set({ state: 'suspended' })
          .where('id', '=', endpointId)
          .where('state', '=', 'starting')
          .execute(),
      );
      throw error;
    }
  }

  /** A branch that is being reset or restored is so soon. */
  async #branchIsThere(endpointId: string): Promise<void> {
    const { database, runner } = this.#parts;
    const { branch_id: branchId } = await database.query((queries) => getEndpoint(queries, endpointId));
    for (const id of runner.find((row, kind) => row.branchId === branchId && kind === 'replace-branch')) {
      try {
        await runner.wait(id, REPLACING_WAIT_MS);
      } catch (error) {
        // That it has failed is told to whoever asked for it: the branch is as it was.
        if (!(error instanceof VarveError) || error.kind === 'cancelled') throw error;
      }
    }
  }

  async onActive(endpointId: string, running: RunningEndpoint): Promise<void> {
    const { database, clock } = this.#parts;
    await database.query((queries) => noteRunning(queries, endpointId, running, clock.wallMs()));
  }

  async onSuspended(endpointId: string): Promise<void> {
    const { database, clock } = this.#parts;
    await database.query((queries) =>
      queries
        .updateTable('endpoints')
        .set({ state: 'suspended', last_active_at: new Date(clock.wallMs()) })
        .where('id', '=', endpointId)
        .where('state', '=', 'active')
        .execute(),
    );
  }

  async onFailed(endpointId: string, error: Error): Promise<void> {
    const { database, logger } = this.#parts;
    logger.warn('A compute has ended', { endpointId, error });
    await database.query((queries) =>
      noteFailed(queries, endpointId, describeFailure(error), ['starting', 'active']),
    );
  }

  /**
   * When the control plane starts: what was running is started, or listened for. What an operation is about is left to that. A
   * port that cannot be had makes that endpoint fail, and no other.
   */
  async resume(): Promise<void> {
    const { database, runner, endpoints } = this.#parts;
    if (endpoints === undefined) return;
    const rows = await database.query((queries) =>
      queries
        .selectFrom('endpoints')
        .innerJoin('branches', 'branches.id', 'endpoints.branch_id')
        .selectAll('endpoints')
        .select('branches.state as branch_state')
        .orderBy('endpoints.id')
        .execute(),
    );
    await Promise.all(
      rows.map(async (row) => {
        if (runner.find(({ endpointId }) => endpointId === row.id).length > 0) return;
        // Its operation starts again what was active.
        if (row.branch_state === 'replacing' && row.state !== 'suspended') return;
        await this.#resumeOne(row);
      }),
    );
  }

  async #resumeOne(row: EndpointRow): Promise<void> {
    const { runner, endpoints, logger } = this.#parts;
    const what = afterStart(row.state, row.suspend_after_seconds, row.error);
    if (what === 'none' || endpoints === undefined) return;
    if (what === 'start') {
      await runner.change(async (change, begin) => {
        await change.updateTable('endpoints').set({ state: 'starting' }).where('id', '=', row.id).execute();
        const { project_id: projectId, branch_id: branchId, id: endpointId } = row;
        await begin({ kind: 'start-endpoint', projectId, branchId, endpointId, parameters: {} });
      });
      return;
    }
    using _lock = await runner.locks.take(row.id);
    try {
      const { port } = await endpoints.suspend(addressOfEndpoint(row, this.#parts), runner.signal);
      await this.#note(row.id, { state: 'suspended', port, error: null });
    } catch (error) {
      if (runner.signal.aborted) return;
      logger.warn('An endpoint cannot be listened for', { endpointId: row.id, error });
      const text = JSON.stringify(describeFailure(error));
      await this.#note(row.id, { state: 'failed', error: text });
    }
  }

  async #note(
    id: string,
    set: { state: 'suspended'; port: number; error: null } | { state: 'failed'; error: string },
  ): Promise<void> {
    await this.#parts.database.query((queries) =>
      queries.updateTable('endpoints').set(set).where('id', '=', id).execute(),
    );
  }
}
