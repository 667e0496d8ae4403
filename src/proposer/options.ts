import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import type { MembershipConfiguration } from '../contracts/membership.ts';
import type { Clock } from '../io/clock.ts';
import type { Random } from '../io/random.ts';
import type { RetryTiming } from '../io/retry-delay.ts';
import type { Sockets } from '../io/sockets.ts';
import type { PasswordSource } from '../libpq/client/authenticate.ts';
import type { Logger } from '../observe/log.ts';
import { BACK_PRESSURE_LIMITS_DEFAULT, type BackPressureLimits } from './back-pressure.ts';
import { WINDOW_BYTES_DEFAULT } from './wal-window.ts';

export interface ProposerDoors {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface ProposerOptions {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  /** Such as 170005; 0 where it is not known, and then there is no source to be attached. */
  readonly pgVersion: number;
  /** 0 where it is not known. */
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
  /** Whom to ask. In generation 0 its members are all that there are. */
  readonly membership: MembershipConfiguration;
  /** Where the log begins if nothing was ever written to it; INVALID_LSN where that is not known. */
  readonly initialLsn: Lsn;
  /** Safekeepers that do not know the timeline are to make it. */
  readonly allowTimelineCreation: boolean;
  /** For safekeepers that ask for a token. */
  readonly password?: PasswordSource;
  /** Insist on TLS with safekeepers, whose certificates are for their hosts' names. */
  readonly tls?: { readonly authorities?: string };
  readonly settings?: Partial<ProposerSettings>;
}

/** What may be tuned. */
export interface ProposerSettings {
  /** How often every safekeeper is told that we are here, and asked by it whether it is. */
  readonly heartbeatIntervalMs: number;
  /** A safekeeper that has not answered for so long is given up, and connected to anew. */
  readonly idleTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly reconnect: RetryTiming;
  /** Between an election that others won, or that nobody did, and the next. */
  readonly electionRetry: RetryTiming;
  /** An election that was won is given up when nobody has got further towards its start for so long. */
  readonly stuckElectionMs: number;
  /** What may wait to be sent to one safekeeper. */
  readonly unsentBytesMax: number;
  /** What may be held in memory of WAL. */
  readonly windowBytes: number;
  readonly backPressure: BackPressureLimits;
}

export const PROPOSER_SETTINGS_DEFAULT: ProposerSettings = {
  heartbeatIntervalMs: 1000,
  idleTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  reconnect: { minMs: 100, maxMs: 2000 },
  electionRetry: { minMs: 100, maxMs: 2000 },
  stuckElectionMs: 30_000,
  unsentBytesMax: 1024 * 1024,
  windowBytes: WINDOW_BYTES_DEFAULT,
  backPressure: BACK_PRESSURE_LIMITS_DEFAULT,
};
