import { VarveError } from '../base/errors.ts';
import type { TenantId, TimelineId } from '../base/ids.ts';
import { INVALID_LSN, type Lsn } from '../base/lsn.ts';
import type { MembershipConfiguration } from '../contracts/membership.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeRandom } from '../io/node/random.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { StopSignals } from '../io/node/stop-signals.ts';
import type { PasswordSource } from '../libpq/client/authenticate.ts';
import { createJsonLogger, type JsonLogOptions } from '../observe/log.ts';
import { parseConnectionString } from './connection-string.ts';
import type { ProposerDoors, ProposerOptions } from './options.ts';
import { connectToServer, identifyServer, type ServerIdentity } from './postgres-server.ts';
import { PostgresSource } from './postgres-source.ts';
import { POSTGRES_TIMELINE_ID, Proposer } from './proposer.ts';

export type LogLevel = JsonLogOptions['level'];

/** Whose WAL, and who keeps it. */
export interface TimelineArguments {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly membership: MembershipConfiguration;
  readonly password?: PasswordSource;
  readonly logLevel: LogLevel;
}

export interface SyncArguments extends TimelineArguments {
  readonly segmentBytes: number;
}

export interface RunArguments extends TimelineArguments {
  /** As libpq's. */
  readonly postgres: string;
  readonly applicationName: string;
  readonly slot?: string;
  /** Where the log begins if nothing was ever written to it; without it where the server is. */
  readonly initialLsn?: Lsn;
}

export interface Position {
  readonly term: number;
  readonly lsn: Lsn;
}

/**
 * The election alone: where the WAL of a new compute begins. 0/0 where nothing was ever written.
 * @throws as Proposer.elect
 */
export async function syncSafekeepers(sync: SyncArguments): Promise<Position> {
  using stop = new StopSignals();
  const { segmentBytes } = sync;
  try {
    const proposer = await Proposer.elect(
      { ...electionOptions(sync), pgVersion: 0, systemIdentifier: 0n, segmentBytes, initialLsn: INVALID_LSN },
      makeDoors(sync.logLevel),
      stop.first.signal,
    );
    const { term, startLsn } = proposer;
    await proposer.close();
    return { term, lsn: startLsn };
  } catch (error) {
    if ((error as { code?: string }).code !== 'EMPTY_LOG') throw error;
    return { term: 0, lsn: INVALID_LSN };
  }
}

/**
 * Runs a proposer for a server as this process: until the server is shut down, or SIGTERM or SIGINT, and then until all
 * that has come is committed. A second signal ends it without that.
 * @param onElected told when the server's WAL begins to be taken
 * @returns the final commit LSN
 * @throws VarveError ‘fenced’ when a successor has taken over; as Proposer
 */
export async function runProposer(
  run: RunArguments,
  onElected: (position: Position) => Promise<void>,
): Promise<Position> {
  using stop = new StopSignals();
  const doors = makeDoors(run.logLevel);
  const server = parseConnectionString(run.postgres);
  const client = await connectToServer(server, run.applicationName, doors, stop.first.signal);
  const identity = await identifyServer(client);
  await client.close();
  checkTimeline(identity);
  const proposer = await Proposer.elect(
    { ...electionOptions(run), ...serverOptions(run, identity) },
    doors,
    stop.first.signal,
  );
  const { applicationName, slot } = run;
  const source = new PostgresSource(
    { ...server, applicationName, ...(slot === undefined ? {} : { slot }), expectations: identity },
    doors,
  );
  proposer.attach(source);
  await onElected({ term: proposer.term, lsn: proposer.startLsn });
  const ended = proposer.ended.then((error) => {
    if (error !== undefined) throw error;
  });
  await Promise.race([proposer.sourceEnded, stop.firstGiven, ended]);
  try {
    await proposer.finish(stop.second.signal);
  } finally {
    await proposer.close();
  }
  return { term: proposer.term, lsn: proposer.commitLsn };
}

/**
 * A server that was promoted has left the history of its branch: its first WAL may lie on a page that is of the old timeline still,
 * where nothing else tells. It is refused before anybody is fenced.
 */
function checkTimeline({ timelineId }: ServerIdentity): void {
  if (timelineId === POSTGRES_TIMELINE_ID) return;
  const reason = `the server is on timeline ${timelineId}, not ${POSTGRES_TIMELINE_ID}: it was promoted`;
  throw new VarveError('conflict', 'WRONG_SERVER', reason);
}

function electionOptions(
  timeline: TimelineArguments,
): Pick<ProposerOptions, 'tenantId' | 'timelineId' | 'membership' | 'allowTimelineCreation' | 'password'> {
  const { tenantId, timelineId, membership, password } = timeline;
  return {
    tenantId,
    timelineId,
    membership,
    // With a membership, somebody has made the timeline for its members.
    allowTimelineCreation: membership.generation === 0,
    ...(password === undefined ? {} : { password }),
  };
}

const serverOptions = (
  run: RunArguments,
  { pgVersion, systemIdentifier, segmentBytes, flushLsn }: ServerIdentity,
): Pick<ProposerOptions, 'pgVersion' | 'systemIdentifier' | 'segmentBytes' | 'initialLsn'> => ({
  pgVersion,
  systemIdentifier,
  segmentBytes,
  initialLsn: run.initialLsn ?? flushLsn,
});

function makeDoors(level: LogLevel): ProposerDoors {
  const destination = { write: (line: string): void => void process.stderr.write(line) };
  return {
    sockets: nodeSockets((error) => {
      // Nothing listens here.
      throw error;
    }),
    clock: nodeClock,
    random: nodeRandom,
    logger: createJsonLogger({ level, clock: nodeClock, destination }),
  };
}
