import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import type { Sockets } from '../../io/sockets.ts';
import type { Logger } from '../../observe/log.ts';
import { Proposer } from '../../proposer/proposer.ts';
import type { Elect } from './head.ts';

export interface ElectDoors {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface ElectAccess {
  /** Of the scope `safekeeperdata`, where safekeepers ask for one. */
  readonly token?: () => Promise<string>;
  /** Insist on TLS with them. */
  readonly tls?: { readonly authorities?: string };
}

/** Elections without a server: a proposer that ends when it has won. */
export const electionsBy =
  (doors: ElectDoors, { token, tls }: ElectAccess): Elect =>
  async ({ tenantId, timelineId, membership, segmentBytes, startLsn }, signal) => {
    const options = {
      tenantId,
      timelineId,
      membership,
      pgVersion: 0,
      systemIdentifier: 0n,
      segmentBytes,
      initialLsn: startLsn,
      allowTimelineCreation: false,
      ...(token === undefined ? {} : { password: token }),
      ...(tls === undefined ? {} : { tls }),
    };
    const proposer = await Proposer.elect(options, doors, signal);
    try {
      return proposer.startLsn;
    } finally {
      await proposer.close();
    }
  };
