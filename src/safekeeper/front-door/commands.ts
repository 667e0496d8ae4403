import { BadRequestError, VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../base/ids.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { type ProposerGreeting, STANDBY_APPLY_OPTION } from '../../contracts/acceptor-messages.ts';
import { NO_MEMBERSHIP } from '../../contracts/membership.ts';
import { STATUS_STREAM_VERSION } from '../../contracts/status-stream.ts';
import { checkAccess, type Gate, type TokenClaims, WHOLE_SERVICE } from '../../contracts/token.ts';
import type { Clock } from '../../io/clock.ts';
import type { Session, SessionHandler } from '../../libpq/server/session.ts';
import type { Logger } from '../../observe/log.ts';
import {
  parseReplicationCommand,
  type ReplicationCommand,
} from '../../postgres/wire/replication-commands.ts';
import { CommandError, SQLSTATE_FEATURE_NOT_SUPPORTED } from '../../postgres/wire/wire-error.ts';
import { checkServer } from '../consensus/server-info.ts';
import { writeAcceptorState } from '../peers/acceptor-state.ts';
import { StatusStream, type StatusStreamOptions } from '../peers/status-server.ts';
import { type ReceiverMetrics, WalReceiver } from '../receive/wal-receiver.ts';
import { WalSender } from '../send/wal-sender.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import type { Timelines } from '../timeline/timelines.ts';

/** The one version of the consensus protocol that is spoken. */
const PROTOCOL_VERSION = 3;
/** A stock server's WAL is always of its first timeline here. */
const POSTGRES_TIMELINE = '1';
/** Characters of what a client calls an id, in logs. */
const ID_LENGTH_MAX = 32;

export type Identity = TokenClaims | undefined;

export interface CommandsOptions {
  readonly timelines: Timelines;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly receiverMetrics: ReceiverMetrics;
  /** Which tokens open this door. */
  readonly gate: Gate;
  /** Reads WAL, wherever it is: on the disk or in the bucket. */
  readonly readWal: (
    timeline: ResidentTimeline,
    target: Uint8Array,
    start: number,
    length: number,
    lsn: Lsn,
  ) => Promise<number>;
  readonly onSenderCount: (change: 1 | -1, applicationName: string) => void;
  /** Told of each command that begins; what it returns is called when it has ended. */
  readonly onCommand: (kind: ReplicationCommand['kind']) => () => void;
  /** What the status stream tells, and counts. */
  readonly status: Pick<StatusStreamOptions, 'nodeId' | 'board' | 'onTold'>;
  /** A number that no other connection of this process has. */
  readonly nextConnectionId: () => number;
}

type SafekeeperSession = Session<Identity>;

/** What a safekeeper answers on its libpq port. */
export class SafekeeperCommands implements SessionHandler<Identity> {
  readonly #options: CommandsOptions;
  /** Errors that have a line of the log already. */
  readonly #logged = new WeakSet<object>();

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  async query(session: SafekeeperSession, sql: string): Promise<void> {
    try {
      const command = parseReplicationCommand(sql);
      const finish = this.#options.onCommand(command.kind);
      try {
        await this.#carryOut(session, command);
      } finally {
        finish();
      }
    } catch (error) {
      this.#logRefusal(session, error);
      throw error;
    }
  }

  /** Streams of WAL tell of their ends themselves, with where the timeline is then. */
  #logRefusal(session: SafekeeperSession, error: unknown): void {
    if (!(error instanceof VarveError) || this.#logged.has(error)) return;
    const { options, peer, applicationName } = session;
    const name = (key: string): string | undefined =>
      (options.get(`${key}_id`) ?? options.get(`z${key}id`))?.slice(0, ID_LENGTH_MAX);
    const fields = {
      tenantId: name('tenant'),
      timelineId: name('timeline'),
      ...(error.place.lsn === undefined ? {} : { lsn: formatLsn(error.place.lsn) }),
      peer,
      applicationName,
      code: error.code,
      error: error.message,
    };
    if (error.kind === 'cancelled') this.#options.logger.info('a command was cancelled', fields);
    else this.#options.logger.warn('a command was refused', fields);
  }

  async #carryOut(session: SafekeeperSession, command: ReplicationCommand): Promise<void> {
    switch (command.kind) {
      case 'Set':
        return session.sendComplete('SELECT 1');
      case 'Show':
        return this.#show(session, command.name);
      case 'IdentifySystem':
        return this.#identifySystem(session);
      case 'TimelineStatus':
        return this.#timelineStatus(session);
      case 'AcceptorState':
        return this.#acceptorState(session);
      case 'StartStatusStream':
        return this.#startStatusStream(session, command.version);
      case 'StartWalPush':
        return this.#startWalPush(session, command);
      case 'StartReplication':
        return this.#startReplication(session, command);
      case 'TimelineHistory':
        throw new CommandError(
          'UNSUPPORTED_COMMAND',
          'there is no history: PostgreSQL timelines are not used',
          SQLSTATE_FEATURE_NOT_SUPPORTED,
        );
    }
  }

  /** The timeline that the client named when it connected, if its token opens that. */
  #key(session: SafekeeperSession): { tenantId: TenantId; timelineId: TimelineId } {
    const tenant = session.options.get('tenant_id') ?? session.options.get('ztenantid');
    const timeline = session.options.get('timeline_id') ?? session.options.get('ztimelineid');
    if (tenant === undefined || timeline === undefined) {
      throw new BadRequestError(
        'NO_TIMELINE_NAMED',
        "the connection names no timeline: give options='-c tenant_id=… timeline_id=…'",
      );
    }
    const key = { tenantId: parseTenantId(tenant), timelineId: parseTimelineId(timeline) };
    if (session.identity !== undefined) checkAccess(this.#options.gate, session.identity, key);
    return key;
  }

  /** What pg_receivewal asks before it begins (streamutil.c, RetrieveWalSegSize and RetrieveDataDirCreatePerm). */
  async #show(session: SafekeeperSession, name: string): Promise<void> {
    const { tenantId, timelineId } = this.#key(session);
    let value: string;
    if (name === 'wal_segment_size') {
      using timeline = await this.#options.timelines.get(tenantId, timelineId).stay('state');
      value = `${timeline.acceptor.acceptor.persistent.server.segmentBytes / 1024 / 1024}MB`;
    } else if (name === 'data_directory_mode') {
      value = '0700';
    } else {
      throw new CommandError('UNKNOWN_SETTING', `there is no setting ${name} here`, '42704');
    }
    session.sendResult({ columns: [{ name, type: 'text' }], rows: [[value]], commandTag: 'SHOW' });
  }

  async #identifySystem(session: SafekeeperSession): Promise<void> {
    const { tenantId, timelineId } = this.#key(session);
    using timeline = await this.#options.timelines.get(tenantId, timelineId).stay('state');
    const { acceptor } = timeline.acceptor;
    const { applicationName } = session;
    const wantsFlush =
      applicationName === 'wal_proposer_recovery' || applicationName.startsWith('safekeeper');
    session.sendResult({
      columns: [
        { name: 'systemid', type: 'text' },
        { name: 'timeline', type: 'int4' },
        { name: 'xlogpos', type: 'text' },
        { name: 'dbname', type: 'text' },
      ],
      rows: [
        [
          String(acceptor.persistent.server.systemIdentifier),
          POSTGRES_TIMELINE,
          formatLsn(wantsFlush ? acceptor.flushLsn : acceptor.commitLsn),
          null,
        ],
      ],
      commandTag: 'IDENTIFY_SYSTEM',
    });
  }

  async #timelineStatus(session: SafekeeperSession): Promise<void> {
    const { tenantId, timelineId } = this.#key(session);
    const rows: string[][] = [];
    const found = this.#options.timelines.find(tenantId, timelineId);
    if (found !== undefined) {
      using timeline = await found.stay('state');
      const { flushLsn, commitLsn } = timeline.acceptor.acceptor;
      rows.push([formatLsn(flushLsn), formatLsn(commitLsn)]);
    }
    session.sendResult({
      columns: [
        { name: 'flush_lsn', type: 'text' },
        { name: 'commit_lsn', type: 'text' },
      ],
      rows,
      commandTag: 'TIMELINE_STATUS',
    });
  }

  async #acceptorState(session: SafekeeperSession): Promise<void> {
    const { tenantId, timelineId } = this.#key(session);
    using timeline = await this.#options.timelines.get(tenantId, timelineId).stay('state');
    session.sendResult(writeAcceptorState(timeline.acceptor.acceptor));
  }

  async #startStatusStream(session: SafekeeperSession, version: number): Promise<void> {
    if (version !== STATUS_STREAM_VERSION) {
      throw new CommandError(
        'UNSUPPORTED_PROTOCOL',
        `version ${version} of the status stream is not spoken here, ${STATUS_STREAM_VERSION} is`,
        SQLSTATE_FEATURE_NOT_SUPPORTED,
      );
    }
    if (session.options.has('timeline_id') || session.options.has('ztimelineid')) {
      throw new BadRequestError(
        'TIMELINE_NAMED',
        'a status stream is of many timelines: name none on connecting',
      );
    }
    const { timelines, clock, logger, status, gate } = this.#options;
    const { identity } = session;
    if (identity !== undefined) checkHasAccess(gate, identity);
    const stream = new StatusStream({
      ...status,
      timelines,
      clock,
      logger: logger.child({ peer: session.peer }),
      signal: session.signal,
      checkAccess: (key) => {
        if (identity !== undefined) checkAccess(gate, identity, key ?? WHOLE_SERVICE);
      },
    });
    await stream.run((receiver) => session.copyBoth(receiver));
  }

  async #startWalPush(
    session: SafekeeperSession,
    command: Extract<ReplicationCommand, { kind: 'StartWalPush' }>,
  ): Promise<void> {
    const key = this.#key(session);
    if (command.protocolVersion !== PROTOCOL_VERSION) {
      throw new CommandError(
        'UNSUPPORTED_PROTOCOL',
        `version ${command.protocolVersion} of the safekeeper protocol is not spoken here, ${PROTOCOL_VERSION} is`,
        SQLSTATE_FEATURE_NOT_SUPPORTED,
      );
    }
    const { clock, receiverMetrics, nextConnectionId } = this.#options;
    const connectionId = nextConnectionId();
    let isOpen = false;
    const receiver = new WalReceiver({
      connectionId,
      clock,
      logger: this.#options.logger.child({ ...key, connectionId, peer: session.peer }),
      metrics: receiverMetrics,
      signal: session.signal,
      tellsStandbys: session.options.get(STANDBY_APPLY_OPTION) === 'on',
      openTimeline: async (greeting) => {
        const timeline = await this.#openForPush(key, greeting, command.allowTimelineCreation);
        isOpen = true;
        return timeline;
      },
    });
    try {
      await receiver.run((copyReceiver) => session.copyBoth(copyReceiver));
    } catch (error) {
      if (isOpen) this.#logged.add(error as object);
      throw error;
    }
  }

  async #openForPush(
    key: { tenantId: TenantId; timelineId: TimelineId },
    greeting: ProposerGreeting,
    mayCreate: boolean,
  ): Promise<ResidentTimeline> {
    const { tenantId, timelineId } = key;
    if (greeting.tenantId !== tenantId || greeting.timelineId !== timelineId) {
      throw new BadRequestError(
        'WRONG_TIMELINE',
        `the greeting is for ${greeting.tenantId}/${greeting.timelineId}, the connection for ${tenantId}/${timelineId}`,
      );
    }
    const { timelines } = this.#options;
    if (mayCreate && timelines.find(tenantId, timelineId) === undefined) {
      const { pgVersion, systemIdentifier, segmentBytes } = greeting;
      const server = { pgVersion, systemIdentifier, segmentBytes };
      checkServer(server, server);
      await timelines.create({
        ...key,
        membership: NO_MEMBERSHIP,
        server,
        startLsn: INVALID_LSN,
        commitLsn: INVALID_LSN,
      });
    }
    return timelines.get(tenantId, timelineId).stay('wal');
  }

  async #startReplication(
    session: SafekeeperSession,
    command: Extract<ReplicationCommand, { kind: 'StartReplication' }>,
  ): Promise<void> {
    const { tenantId, timelineId } = this.#key(session);
    if (command.timelineId !== undefined && command.timelineId !== 1) {
      throw new BadRequestError(
        'WRONG_POSTGRES_TIMELINE',
        `there is no WAL of timeline ${command.timelineId}, only of 1`,
      );
    }
    const { clock, readWal, onSenderCount, nextConnectionId } = this.#options;
    using timeline = await this.#options.timelines.get(tenantId, timelineId).stay('wal');
    const sender = new WalSender(
      timeline,
      { startLsn: command.startLsn, term: command.term },
      {
        connectionId: nextConnectionId(),
        peer: session.peer,
        applicationName: session.applicationName,
        clock,
        signal: session.signal,
        read: (target, start, length, lsn) => readWal(timeline, target, start, length, lsn),
        onPageserverFeedback: (feedback) => {
          timeline.acceptor.acceptor.recordRemoteConsistent(feedback.remoteConsistentLsn);
          timeline.feedback.publish(feedback);
        },
      },
    );
    onSenderCount(1, session.applicationName);
    try {
      await sender.run((receiver) => session.copyBoth(receiver));
    } catch (error) {
      this.#logSenderEnd(session, timeline, error);
      this.#logged.add(error as object);
      throw error;
    } finally {
      onSenderCount(-1, session.applicationName);
    }
  }

  #logSenderEnd(session: SafekeeperSession, timeline: ResidentTimeline, error: unknown): void {
    const { tenantId, timelineId } = timeline;
    const { acceptor } = timeline.acceptor;
    const fields = {
      tenantId,
      timelineId,
      peer: session.peer,
      commitLsn: formatLsn(acceptor.commitLsn),
      error: error instanceof Error ? error.message : String(error),
    };
    const isOrderly = error instanceof VarveError && error.kind === 'cancelled';
    if (isOrderly) this.#options.logger.info('a reader of WAL was sent away', fields);
    else this.#options.logger.warn('a reader of WAL ended with an error', fields);
  }
}

/** Refuses a token that opens nothing at all behind this gate. */
function checkHasAccess(gate: Gate, claims: TokenClaims): void {
  const { tenantId, timelineId } = claims;
  checkAccess(gate, claims, {
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(timelineId === undefined ? {} : { timelineId }),
  });
}
