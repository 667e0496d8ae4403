import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import type { Random } from '../../io/random.ts';
import type { ServerTrust, Sockets } from '../../io/sockets.ts';
import type { PasswordSource } from '../../libpq/client/authenticate.ts';
import type { Logger } from '../../observe/log.ts';
import type { SafekeeperMetrics } from '../metrics.ts';

/** How this safekeeper gets on with the others. */
export interface PeerSettings {
  /** A token of the scope `safekeeperdata`, where the others ask for one. */
  readonly token?: PasswordSource;
  /** TLS to the others, with whoever can prove the name that configurations give them. */
  readonly tls?: Omit<ServerTrust, 'serverName'>;
  /** Takes no WAL from the others: what a timeline lacks, its next compute has to bring. */
  readonly isRecoveryOff?: boolean;
}

export interface PeersOptions {
  readonly nodeId: number;
  readonly settings: PeerSettings;
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly logger: Logger;
  readonly metrics: SafekeeperMetrics;
}
