import { AssertionError, VarveError } from '../../base/errors.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { OperationError, OperationState } from '../../contracts/control-api.ts';
import { throwIfCancelled, untilCancelled } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import type { Change, Database } from '../database/database.ts';
import { afterFailure, describeFailure, toError } from '../decisions/after-failure.ts';
import { newOperationId } from '../decisions/names.ts';
import { EndpointLocks } from './endpoint-locks.ts';
import type { AnyKind, Begin, EndChange, NewOperation, OperationContext, OperationRow } from './operation.ts';

export interface RunnerDoors {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const RETRY_TIMING = { minMs: 50, maxMs: 10_000 };

/** An operation that this process carries out, or has. */
interface Running {
  readonly row: OperationRow<unknown>;
  readonly kind: AnyKind;
  state: OperationState;
  step: string | undefined;
  /** Resolves when it is over; with why, where it was undone. */
  readonly over: Promise<OperationError | undefined>;
  readonly resolve: (error: OperationError | undefined) => void;
}

/**
 * Carries out operations: each from the moment in which its intent is durable until its end is, by this process or the next
 * one. What fails for good is undone, where it can be.
 */
export class OperationRunner {
  readonly locks: EndpointLocks;
  readonly #doors: RunnerDoors;
  readonly #kinds = new Map<string, AnyKind>();
  readonly #running = new Map<string, Running>();
  readonly #tasks = new TaskSet();
  readonly #ending = new AbortController();
  readonly #clock: Clock;

  constructor(doors: RunnerDoors) {
    this.#doors = doors;
    this.#clock = doors.clock;
    this.locks = new EndpointLocks(this.#ending.signal);
  }

  /** Given when the control plane ends. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  register(kind: AnyKind): void {
    if (this.#kinds.has(kind.kind)) throw new AssertionError(`there are two operations named ${kind.kind}`);
    this.#kinds.set(kind.kind, kind);
  }

  /** Changes the database; the operations that are begun within it start when all of that is durable. */
  async change<Result>(action: (change: Change, begin: Begin) => Promise<Result>): Promise<Result> {
    throwIfCancelled(this.#ending.signal);
    const begun: Running[] = [];
    const result = await this.#doors.database.change(async (change) => {
      begun.length = 0;
      return await action(change, async (operation) => {
        const running = await this.#insert(change, operation);
        begun.push(running);
        return running.row.id;
      });
    });
    for (const running of begun) this.#start(running, false);
    return result;
  }

  /** Goes on with what an earlier process has left. */
  async resume(): Promise<void> {
    const rows = await this.#doors.database.query((queries) =>
      queries
        .selectFrom('operations')
        .selectAll()
        .where('state', 'in', ['running', 'undoing'])
        .orderBy('created_at')
        .orderBy('id')
        .execute(),
    );
    for (const row of rows) {
      const kind = this.#kind(row.kind);
      const running = makeRunning(
        {
          id: row.id,
          projectId: row.project_id,
          branchId: row.branch_id,
          endpointId: row.endpoint_id,
          parameters: kind.parameters.parse(row.parameters),
        },
        kind,
      );
      running.state = row.state;
      this.#doors.logger.info('An operation goes on', { operationId: row.id, kind: row.kind });
      this.#start(running, true);
    }
  }

  /** Ids of what is not over, of which `isMeant`. */
  find(isMeant: (row: OperationRow<unknown>, kind: string) => boolean): string[] {
    return [...this.#running.values()]
      .filter(({ row, kind }) => isMeant(row, kind.kind))
      .map(({ row }) => row.id);
  }

  /** What an operation that is not over is at. */
  stepOf(operationId: string): string | undefined {
    return this.#running.get(operationId)?.step;
  }

  /**
   * Waits until an operation is over.
   * @returns false: it goes on
   * @throws what it has failed of, when all of it is undone; VarveError ‘cancelled’ when the control plane ends
   */
  async wait(operationId: string, timeoutMs: number): Promise<boolean> {
    const running = this.#running.get(operationId);
    if (running === undefined) return await this.#outcome(operationId);
    const late = Promise.withResolvers<'late'>();
    const timer = this.#clock.setTimer(timeoutMs, () => late.resolve('late'));
    try {
      const error = await untilCancelled(this.#ending.signal, Promise.race([running.over, late.promise]));
      if (error === 'late') return false;
      if (error !== undefined) throw toError(error);
      return true;
    } finally {
      timer.cancel();
    }
  }

  async #outcome(operationId: string): Promise<boolean> {
    const row = await this.#doors.database.query((queries) =>
      queries
        .selectFrom('operations')
        .where('id', '=', operationId)
        .select(['state', 'error'])
        .executeTakeFirst(),
    );
    if (row === undefined) {
      throw new VarveError('not-found', 'OPERATION_NOT_FOUND', `there is no operation ${operationId}`);
    }
    if (row.state === 'failed' && row.error !== null) throw toError(row.error);
    return row.state === 'done';
  }

  /** What is under way is left as it is, for the next process. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#tasks.settled();
  }

  async #insert(change: Change, operation: NewOperation<unknown>): Promise<Running> {
    const kind = this.#kind(operation.kind);
    const id = newOperationId(this.#doors.random);
    const { projectId, branchId = null, endpointId = null, parameters } = operation;
    await change
      .insertInto('operations')
      .values({
        id,
        kind: operation.kind,
        project_id: projectId,
        branch_id: branchId,
        endpoint_id: endpointId,
        parameters: JSON.stringify(parameters),
        state: 'running',
        step: null,
        error: null,
        finished_at: null,
      })
      .execute();
    return makeRunning(
      { id, projectId, branchId, endpointId, parameters: kind.parameters.parse(parameters) },
      kind,
    );
  }

  #kind(name: string): AnyKind {
    const kind = this.#kinds.get(name);
    if (kind === undefined) throw new AssertionError(`there is no operation named ${name}`);
    return kind;
  }

  #start(running: Running, isRepeated: boolean): void {
    this.#running.set(running.row.id, running);
    this.#tasks.run(() => this.#run(running, isRepeated));
  }

  async #run(running: Running, isRepeatedAtFirst: boolean): Promise<void> {
    const retry = new RetryDelay(RETRY_TIMING, this.#doors.random);
    let isRepeated = isRepeatedAtFirst;
    try {
      while (!this.#ending.signal.aborted) {
        if (await this.#attempt(running, isRepeated)) return;
        isRepeated = true;
        await pause(this.#clock, retry.nextMs(), this.#ending.signal);
      }
    } finally {
      this.#running.delete(running.row.id);
    }
  }

  /** @returns whether it is over */
  async #attempt(running: Running, isRepeated: boolean): Promise<boolean> {
    const { row, kind } = running;
    const isUndoing = running.state === 'undoing';
    await using held = new AsyncDisposableStack();
    const context: OperationContext = {
      signal: this.#ending.signal,
      isRepeated,
      step: (name) => {
        running.step = name;
      },
      lockEndpoint: async (endpointId) => {
        held.use(await this.locks.take(endpointId));
      },
    };
    try {
      const end =
        isUndoing && kind.undo !== undefined
          ? await kind.undo(row, context)
          : await kind.execute(row, context);
      const failure = await this.#finish(running, end);
      running.state = isUndoing ? 'failed' : 'done';
      running.resolve(failure);
      return true;
    } catch (error) {
      await this.#note(running, error);
      return false;
    }
  }

  /** @returns what it had failed of, where this was its undoing */
  async #finish(running: Running, end: EndChange): Promise<OperationError | undefined> {
    const { row, step } = running;
    const isUndoing = running.state === 'undoing';
    return await this.change(async (change, begin) => {
      const over = await change
        .updateTable('operations')
        .set({
          state: isUndoing ? 'failed' : 'done',
          step: step ?? null,
          finished_at: new Date(this.#clock.wallMs()),
          ...(isUndoing ? {} : { error: null }),
        })
        .where('id', '=', row.id)
        .where('state', '=', isUndoing ? 'undoing' : 'running')
        .returning('error')
        .executeTakeFirst();
      // It was over: an earlier attempt's end is durable, of which the answer was lost.
      if (over !== undefined) await end(change, begin);
      return isUndoing ? ((over ?? (await readError(change, row.id)))?.error ?? undefined) : undefined;
    });
  }

  /** An attempt has failed: what is next is durable before it begins. */
  async #note(running: Running, error: unknown): Promise<void> {
    const { row, kind, step } = running;
    const { logger, database } = this.#doors;
    const next = afterFailure({
      error,
      isEnding: this.#ending.signal.aborted,
      isUndoable: kind.undo !== undefined && running.state !== 'undoing',
      isRetried: kind.isRetried ?? true,
    });
    const fields = { operationId: row.id, kind: kind.kind, step, next, error };
    if (next === 'leave') return;
    if (error instanceof VarveError && error.kind !== 'assertion') {
      logger.warn('An attempt of an operation has failed', fields);
    } else {
      logger.error('An attempt of an operation has failed of a bug', fields);
    }
    const isUndoing = next === 'undo';
    try {
      await database.query((queries) =>
        queries
          .updateTable('operations')
          .set(({ eb }) => ({
            attempts: eb('attempts', '+', 1),
            step: step ?? null,
            // While it is undone, what it has failed of stays.
            ...(running.state === 'undoing' ? {} : { error: JSON.stringify(describeFailure(error)) }),
            ...(isUndoing ? { state: 'undoing' as const } : {}),
          }))
          .where('id', '=', row.id)
          .execute(),
      );
      if (isUndoing) running.state = 'undoing';
    } catch (failure) {
      // It is tried once more, and fails of the same then.
      logger.warn('That an operation has failed could not be written down', { ...fields, failure });
    }
  }
}

async function readError(change: Change, id: string): Promise<{ error: OperationError | null } | undefined> {
  return await change.selectFrom('operations').where('id', '=', id).select('error').executeTakeFirst();
}

function makeRunning(row: OperationRow<unknown>, kind: AnyKind): Running {
  const { promise, resolve } = Promise.withResolvers<OperationError | undefined>();
  return { row, kind, state: 'running', step: undefined, over: promise, resolve };
}
