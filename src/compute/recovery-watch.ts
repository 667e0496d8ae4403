import { VarveError } from '../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn, parseLsn } from '../base/lsn.ts';
import { pause } from '../io/retry-delay.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { connectPageService } from '../page-client/connect-page-service.ts';
import { lastLsn } from '../page-client/page-commands.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { pageServiceOptions } from './page-service-options.ts';
import type { StorageProgress } from './read-position.ts';
import { StandbyProgress } from './standby-progress.ts';

const INTERVAL_MS = 1000;

const QUESTION = `
  SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn(),
    CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END,
    (SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE backend_type = 'startup')`;

/** A connection to the server that is watched; of the superuser. */
export type ConnectToServer = (signal: AbortSignal) => Promise<ClientConnection>;

/**
 * Looks after a server that has to stay in recovery: one that was promoted, or a standby that cannot go on, has to end. What a
 * promoted one writes goes nowhere, and it must not seem to.
 */
export class RecoveryWatch implements StorageProgress, AsyncDisposable {
  /** Resolves with why the server has to be started anew. */
  readonly failed: Promise<VarveError>;
  readonly #options: ComputeOptions;
  readonly #connect: ConnectToServer;
  readonly #doors: ComputeDoors;
  readonly #progress = new StandbyProgress();
  readonly #life = new AbortController();
  readonly #running: Promise<void>;
  #server: ClientConnection | undefined;
  #pageserver: ClientConnection | undefined;
  #replayLsn: Lsn = INVALID_LSN;
  #pageserverLsn: Lsn | undefined;
  #resolveFailed: (error: VarveError) => void = () => undefined;

  constructor(options: ComputeOptions, connect: ConnectToServer, doors: ComputeDoors) {
    this.#options = options;
    this.#connect = connect;
    this.#doors = doors;
    this.failed = new Promise((resolve) => {
      this.#resolveFailed = resolve;
    });
    this.#running = this.#run();
  }

  /**
   * What a standby has replayed. Where it has not read a block yet, that is the same at all LSNs from its start up to here: each
   * record of those was replayed, and redo of a block reads it first, or writes all of it (an image, a page that is made anew), and
   * then it is there. What redo passes over (xlogutils.c, XLogReadBufferExtended) changes nothing of that. A block behind the end
   * of its file: sizes are those of the start, so that is one that redo has cut off, and a later extension writes all that it adds.
   * A relation that was removed: nobody reads it. A record whose LSN the page has already: no page is read of an LSN that is not
   * replayed. Blocks of free space maps are written without WAL, and may be of any LSN. A segment of an SLRU comes whole when
   * one of its pages is read or made, and none of its pages has changed before.
   */
  get commitLsn(): Lsn {
    return this.#replayLsn;
  }

  get pageserverProgress(): { readonly lastReceivedLsn: Lsn } | undefined {
    return this.#pageserverLsn === undefined ? undefined : { lastReceivedLsn: this.#pageserverLsn };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#running;
    await this.#letGo();
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#doors;
    const { signal } = this.#life;
    for (;;) {
      await pause(clock, INTERVAL_MS, signal);
      if (signal.aborted) return;
      try {
        const error = await this.#look(signal);
        if (error === undefined) continue;
        this.#resolveFailed(error);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        // A server that has ended, and a pageserver that is away, are others' affair.
        logger.info('The server in recovery could not be looked at', { reason: error.message });
        await this.#letGo();
      }
    }
  }

  async #look(signal: AbortSignal): Promise<VarveError | undefined> {
    this.#server ??= await this.#connect(signal);
    const [row] = (await this.#server.query(QUESTION)).rows;
    const [isInRecovery, replayed, pauseState, waitEvent] = row ?? [];
    if (isInRecovery === 'f') {
      return new VarveError('unavailable', 'PROMOTED', 'the server was promoted, and nobody takes its WAL');
    }
    if (this.#options.mode.kind !== 'standby' || typeof replayed !== 'string') return undefined;
    const replayLsn = parseLsn(replayed);
    this.#pageserver ??= await connectPageService(this.#doors, pageServiceOptions(this.#options, signal));
    const pageserverLsn = await lastLsn(this.#pageserver, this.#options);
    this.#replayLsn = replayLsn;
    this.#pageserverLsn = pageserverLsn;
    const isPaused = pauseState !== 'not paused';
    const sample = { replayLsn, isPaused, waitEvent: waitEvent ?? '', pageserverLsn };
    return await this.#judge(sample, this.#server);
  }

  async #judge(
    sample: Parameters<StandbyProgress['note']>[0],
    server: ClientConnection,
  ): Promise<VarveError | undefined> {
    const { clock, logger } = this.#doors;
    const { replayLsn, pageserverLsn, waitEvent } = sample;
    const place = { replayLsn: formatLsn(replayLsn), pageserverLsn: formatLsn(pageserverLsn), waitEvent };
    switch (this.#progress.note(sample, clock.monotonicMs())) {
      case 'fine':
        return undefined;
      case 'reconnect':
        logger.warn('The standby gets no WAL, and is to take it from another safekeeper', place);
        await restartReceiver(server);
        return undefined;
      case 'stuck': {
        const reason = `the standby is at ${place.replayLsn} and does not go on, and the branch is at ${place.pageserverLsn}`;
        return new VarveError('unavailable', 'STANDBY_STUCK', reason, { lsn: replayLsn });
      }
    }
  }

  async #letGo(): Promise<void> {
    const connections = [this.#server, this.#pageserver];
    this.#server = undefined;
    this.#pageserver = undefined;
    for (const connection of connections) await connection?.close();
  }
}

/**
 * Makes the server's receiver of WAL begin anew. No SQL function reaches it, for it is no backend; a change of what it connects to
 * ends it (xlogrecovery.c, StartupRequestWalReceiverRestart).
 */
async function restartReceiver(server: ClientConnection): Promise<void> {
  const conninfo = (await server.query('SHOW primary_conninfo')).rows[0]?.[0] ?? '';
  const changed = conninfo.endsWith(' ') ? conninfo.trimEnd() : `${conninfo} `;
  const literal = `E'${changed.replaceAll(/[\\']/g, '\\$&')}'`;
  await server.query(`ALTER SYSTEM SET primary_conninfo = ${literal}`);
  await server.query('SELECT pg_reload_conf()');
}
