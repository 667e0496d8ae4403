import { VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { type PageServiceCommand, parsePageServiceCommand } from '../../contracts/page-commands.ts';
import { checkAccess, type TokenClaims } from '../../contracts/token.ts';
import type { Clock } from '../../io/clock.ts';
import { copiedIn } from '../../libpq/copied-in.ts';
import type { Session, SessionHandler } from '../../libpq/server/session.ts';
import { isBug } from '../../libpq/server/sqlstate.ts';
import type { LogFields, Logger } from '../../observe/log.ts';
import { firstRecordPosition } from '../../postgres/wal/page-header.ts';
import { CommandError, SQLSTATE_INVALID_PARAMETER_VALUE } from '../../postgres/wire/wire-error.ts';
import { POSTGRES_EPOCH_MICROS } from '../administration/postgres-time.ts';
import { streamFreeSpaceMaps } from '../auxiliary/stream-free-space-maps.ts';
import { takeAuxiliaryObjects } from '../auxiliary/take-auxiliary-objects.ts';
import type { BackupOptions } from '../backup/backup-options.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { PageServiceMetrics } from '../page-service/page-service-metrics.ts';
import { PageStream } from '../page-service/page-stream.ts';
import { ResponseBuffers } from '../page-service/response-buffers.ts';
import type { StartSetOptions } from '../start-set/stream-start-set.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { TimelineAccess } from '../timeline-access.ts';
import { ConnectionTimelines } from './connection-timelines.ts';

/** The longest request for pages is 42 bytes; a command is a line of text. */
export const PAGE_SERVICE_BODY_BYTES_MAX = 10_000;
const STALL_TIMEOUT_MS_DEFAULT = 600_000;

export type Identity = TokenClaims | undefined;

export interface PageserverCommandsOptions {
  readonly access: TimelineAccess;
  /** Refuses what it can before the first piece. */
  readonly streamBackup: (
    active: ActiveTimeline,
    options: BackupOptions,
    context: ReadContext,
  ) => AsyncIterable<Uint8Array>;
  /** Likewise. */
  readonly streamStartSet: (
    active: ActiveTimeline,
    options: StartSetOptions,
    context: ReadContext,
  ) => AsyncIterable<Uint8Array>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PageServiceMetrics;
  /** How long a client may take nothing of what it has asked for; 10 minutes by default. */
  readonly stallTimeoutMs?: number;
}

type PageserverSession = Session<Identity>;
type Target = { readonly tenantId: TenantId; readonly timelineId: TimelineId };
type Command<Kind> = Extract<PageServiceCommand, { kind: Kind }>;

/** What a pageserver answers on its libpq port. */
export class PageserverCommands implements SessionHandler<Identity> {
  readonly #options: PageserverCommandsOptions;
  readonly #buffers = new ResponseBuffers();
  readonly #connections = new WeakMap<PageserverSession, ConnectionTimelines>();

  constructor(options: PageserverCommandsOptions) {
    this.#options = options;
  }

  async query(session: PageserverSession, sql: string): Promise<void> {
    let command: PageServiceCommand | undefined;
    try {
      command = parsePageServiceCommand(sql);
      await this.#carryOut(session, command);
    } catch (error) {
      this.#logEnd(session, command, error);
      throw error;
    }
  }

  #carryOut(session: PageserverSession, command: PageServiceCommand): Promise<void> | void {
    switch (command.kind) {
      case 'Set':
        return session.sendComplete('SELECT 1');
      case 'PageStream':
        return this.#pageStream(session, command);
      case 'LeaseLsn':
        return this.#leaseLsn(session, command);
      case 'FreeSpaceMaps':
        return this.#freeSpaceMaps(session, command);
      case 'PutAuxiliary':
        return this.#putAuxiliary(session, command);
      case 'LastLsn':
        return this.#lastLsn(session, command);
      case 'LsnAtTime':
        return this.#lsnAtTime(session, command);
      case 'BaseBackup':
      case 'FullBackup':
      case 'StartSet':
        return this.#copyFiles(session, command);
    }
  }

  /** The timelines of a connection, if its token opens what a command asks for. */
  #timelinesOf(session: PageserverSession, { tenantId, timelineId }: Target): ConnectionTimelines {
    if (session.identity !== undefined) checkAccess('pageserver', session.identity, { tenantId, timelineId });
    let timelines = this.#connections.get(session);
    if (timelines === undefined) {
      timelines = new ConnectionTimelines(this.#options.access, tenantId, session.signal);
      this.#connections.set(session, timelines);
    }
    if (timelines.tenantId === tenantId) return timelines;
    throw new CommandError(
      'TENANT_CHANGED',
      `this connection has asked for tenant ${timelines.tenantId} before: connect anew for another one`,
      SQLSTATE_INVALID_PARAMETER_VALUE,
    );
  }

  async #pageStream(session: PageserverSession, command: Command<'PageStream'>): Promise<void> {
    const { tenantId, timelineId, protocolVersion: version } = command;
    const handle = await this.#timelinesOf(session, command).get(timelineId);
    const { clock, metrics, stallTimeoutMs = STALL_TIMEOUT_MS_DEFAULT } = this.#options;
    const logger = this.#options.logger.child({ tenantId, timelineId, peer: session.peer });
    const buffers = this.#buffers;
    const stream = new PageStream({ version, handle, buffers, clock, logger, metrics, stallTimeoutMs });
    await stream.run((receiver) => session.copyBoth(receiver, 'command'));
  }

  async #leaseLsn(session: PageserverSession, command: Command<'LeaseLsn'>): Promise<void> {
    const { active } = await this.#timelinesOf(session, command).get(command.timelineId);
    session.sendResult({
      columns: [{ name: 'valid_until', type: 'text' }],
      rows: [[renewLease(active, command.lsn)]],
      commandTag: 'SELECT 1',
    });
  }

  async #freeSpaceMaps(session: PageserverSession, command: Command<'FreeSpaceMaps'>): Promise<void> {
    const { active } = await this.#timelinesOf(session, command).get(command.timelineId);
    refuseArchived(active.timeline);
    using departure = new DepartureBeforeCopy(session.leaving);
    const signal = AbortSignal.any([session.signal, active.timeline.signal, departure.signal]);
    const stream = streamFreeSpaceMaps(active, command.lsn, { task: 'base-backup', signal });
    await copyOut(session, stream, () => departure[Symbol.dispose]());
  }

  async #putAuxiliary(session: PageserverSession, command: Command<'PutAuxiliary'>): Promise<void> {
    const { active } = await this.#timelinesOf(session, command).get(command.timelineId);
    refuseArchived(active.timeline);
    using departure = new DepartureBeforeCopy(session.leaving);
    const signal = AbortSignal.any([session.signal, active.timeline.signal, departure.signal]);
    const begin = (): AsyncIterable<Uint8Array> => {
      departure[Symbol.dispose]();
      return copiedIn((receiver) => session.copyBoth(receiver, 'command'), signal);
    };
    await takeAuxiliaryObjects(active, command, begin, { task: 'administration', signal });
  }

  async #lastLsn(session: PageserverSession, command: Command<'LastLsn'>): Promise<void> {
    const { active } = await this.#timelinesOf(session, command).get(command.timelineId);
    session.sendResult({
      columns: [{ name: 'lsn', type: 'text' }],
      rows: [[formatLsn(active.timeline.lastRecordLsn)]],
      commandTag: 'SELECT 1',
    });
  }

  /** Answers as the HTTP API's `get_lsn_by_timestamp`, for who has but a tenant's token. */
  async #lsnAtTime(session: PageserverSession, command: Command<'LsnAtTime'>): Promise<void> {
    const { active } = await this.#timelinesOf(session, command).get(command.timelineId);
    refuseArchived(active.timeline);
    const signal = AbortSignal.any([session.signal, session.leaving, active.timeline.signal]);
    const micros = command.timeMicros - POSTGRES_EPOCH_MICROS;
    const { kind, lsn } = await active.reads.lsnByTimestamp(micros, { task: 'administration', signal });
    session.sendResult({
      columns: [
        { name: 'kind', type: 'text' },
        { name: 'lsn', type: 'text' },
      ],
      rows: [[kind, formatLsn(lsn)]],
      commandTag: 'SELECT 1',
    });
  }

  async #copyFiles(
    session: PageserverSession,
    command: Command<'BaseBackup' | 'FullBackup' | 'StartSet'>,
  ): Promise<void> {
    const { clock, metrics } = this.#options;
    const startMs = clock.monotonicMs();
    const note = (result: 'ok' | 'error' | 'client_error'): void =>
      metrics.noteBackup(result, (clock.monotonicMs() - startMs) / 1000);
    try {
      const { active } = await this.#timelinesOf(session, command).get(command.timelineId);
      refuseArchived(active.timeline);
      using departure = new DepartureBeforeCopy(session.leaving);
      const signal = AbortSignal.any([session.signal, active.timeline.signal, departure.signal]);
      const stream = this.#streamOf(active, command, { task: 'base-backup', signal });
      await copyOut(session, stream, () => departure[Symbol.dispose]());
      note('ok');
    } catch (error) {
      note(session.signal.aborted || session.leaving.aborted ? 'client_error' : 'error');
      throw error;
    }
  }

  #streamOf(
    active: ActiveTimeline,
    command: Command<'BaseBackup' | 'FullBackup' | 'StartSet'>,
    context: ReadContext,
  ): AsyncIterable<Uint8Array> {
    const { streamBackup, streamStartSet } = this.#options;
    const { lsn } = command;
    switch (command.kind) {
      case 'StartSet':
        return streamStartSet(active, { lsn, form: command.form }, context);
      case 'BaseBackup': {
        const { isReplica, isGzip } = command;
        const compression = isGzip ? 'gzip' : 'none';
        return streamBackup(
          active,
          { kind: 'base', lsn, previousRecordLsn: undefined, isReplica, compression },
          context,
        );
      }
      case 'FullBackup': {
        const previousRecordLsn = command.previousLsn;
        return streamBackup(
          active,
          {
            kind: 'full',
            lsn,
            previousRecordLsn,
            isReplica: false,
            compression: command.compression ?? 'none',
          },
          context,
        );
      }
    }
  }

  /** Bugs are told of where they are raised. */
  #logEnd(session: PageserverSession, command: PageServiceCommand | undefined, error: unknown): void {
    if (isBug(error)) return;
    const { code, kind, message, place } = error as VarveError;
    const lsn = place.lsn ?? (command !== undefined && 'lsn' in command ? command.lsn : undefined);
    const fields: LogFields = {
      ...(command === undefined || command.kind === 'Set'
        ? {}
        : { tenantId: command.tenantId, timelineId: command.timelineId }),
      ...(lsn === undefined ? {} : { lsn: formatLsn(lsn) }),
      command: command?.kind,
      peer: session.peer,
      applicationName: session.applicationName,
      code,
      error: message,
    };
    const isOrderly = kind === 'cancelled' || code === 'TIMELINE_GONE';
    if (isOrderly) this.#options.logger.info('A command was cancelled', fields);
    else this.#options.logger.warn('A command was refused', fields);
  }
}

/** Milliseconds since 1970 until which an LSN stays readable; null where it is not any more (page_service.rs). */
function renewLease({ timeline, upkeep }: ActiveTimeline, lsn: Lsn): string | null {
  // Where the record begins that follows: what a server calls this LSN.
  const normalized = firstRecordPosition(lsn, timeline.walSegmentBytes) as Lsn;
  try {
    return String(Math.floor(upkeep.leaseLsn(normalized).validUntilMs));
  } catch (error) {
    if (error instanceof VarveError && error.code === 'LSN_BELOW_CUTOFF') return null;
    throw error;
  }
}

function refuseArchived({ timelineId, archivedAtMs }: Timeline): void {
  if (archivedAtMs === undefined) return;
  throw new VarveError('not-found', 'TIMELINE_ARCHIVED', `timeline ${timelineId} is archived`);
}

/**
 * Nothing is waited for on behalf of a client that has left, such as WAL that is still to come. Once it is sent something, the
 * connection tells whether it is there: it may have ended its half only.
 */
class DepartureBeforeCopy implements Disposable {
  readonly #leaving: AbortSignal;
  readonly #departure = new AbortController();
  readonly #onLeaving = (): void => this.#departure.abort(this.#leaving.reason);

  constructor(leaving: AbortSignal) {
    this.#leaving = leaving;
    leaving.addEventListener('abort', this.#onLeaving, { once: true });
    if (leaving.aborted) this.#onLeaving();
  }

  get signal(): AbortSignal {
    return this.#departure.signal;
  }

  /** From now on the client's departure is not looked at. */
  [Symbol.dispose](): void {
    this.#leaving.removeEventListener('abort', this.#onLeaving);
  }
}

/**
 * What is refused before the first piece is refused as any command; what fails later, within the copy.
 * @param onBegin called when there is something to copy
 */
async function copyOut(
  session: PageserverSession,
  stream: AsyncIterable<Uint8Array>,
  onBegin: () => void,
): Promise<void> {
  const pieces = stream[Symbol.asyncIterator]();
  try {
    let next = await pieces.next();
    onBegin();
    const copy = session.copyOut();
    while (next.done !== true) {
      await copy.write(next.value);
      next = await pieces.next();
    }
  } finally {
    await pieces.return?.();
  }
}
