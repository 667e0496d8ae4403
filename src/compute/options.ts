import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import type { MembershipConfiguration } from '../contracts/membership.ts';
import type { Clock } from '../io/clock.ts';
import type { Files, SmallFiles } from '../io/files.ts';
import type { Random } from '../io/random.ts';
import type { Servers } from '../io/servers.ts';
import type { ServerTrust, SocketAddress, Sockets } from '../io/sockets.ts';
import type { PasswordSource } from '../libpq/client/authenticate.ts';
import type { Logger } from '../observe/log.ts';
import type { DatabaseSpec, RoleSpec, TlsSpec } from './compute-spec.ts';

export interface ComputeDoors {
  readonly files: Files & SmallFiles;
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly servers: Servers;
}

export interface PageserverAccess {
  readonly address: SocketAddress;
  /** Of the scope `tenant`, where it asks for one. */
  readonly token?: PasswordSource;
  /** Insist on TLS. */
  readonly tls?: ServerTrust;
}

/**
 * A primary begins at the end of its branch, and its WAL is the branch's from then on. A read-only one is as of an LSN, which a
 * lease keeps readable. A standby follows what safekeepers have committed, from where the pageserver is when it starts. The
 * last two write nothing: the server itself stays in recovery.
 */
export type ComputeMode =
  | { readonly kind: 'primary' }
  | { readonly kind: 'read-only'; readonly lsn: Lsn }
  /** As of a moment, in microseconds since 1970. */
  | { readonly kind: 'read-only'; readonly timeMicros: bigint }
  | { readonly kind: 'standby' };

/** What a compute is, and where it finds storage. */
export interface ComputeOptions {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly mode: ComputeMode;
  readonly pageserver: PageserverAccess;
  readonly membership: MembershipConfiguration;
  /** For safekeepers that ask for a token. */
  readonly safekeeperToken?: PasswordSource;
  /** Insist on TLS with safekeepers. */
  readonly safekeeperTls?: { readonly authorities?: string };
  /** Everything local is below it. What is there is worth nothing: it goes at each start and end. */
  readonly directory: string;
  /** With `postgres` of the timeline's major. */
  readonly binDirectory: string;
  readonly postgresMajor: number;
  /** Path of the shim by which pages are brought when they are first read. Without it all are, before the server starts. */
  readonly shim?: string;
  /** Where clients connect to. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Makes whoever listens there until the server does let go of it: called just before each start of the server. */
  readonly releasePort?: () => Promise<void>;
  /** Of the timeline's WAL. */
  readonly walSegmentBytes: number;
  /** Settings of the server. Those that durability rests on are refused. */
  readonly settings: Readonly<Record<string, string>>;
  /** Lines of pg_hba.conf, in place of those that let everybody on this machine in, and others with a password. */
  readonly hostBasedAuthentication?: string;
  /** Roles and databases that a primary's branch is to have: made, or changed, before it is said to be ready. */
  readonly roles?: readonly RoleSpec[];
  readonly databases?: readonly DatabaseSpec[];
  /** What the server proves who it is with. Clients may then speak TLS; that they must, lines of pg_hba.conf say. */
  readonly tls?: TlsSpec;
  /** What local files may take. Without it a part of what their file system has free at the start. */
  readonly diskBudgetBytes?: number;
  /** How long writing is slow for want of room on the disk before the server is stopped, to begin anew. */
  readonly diskWaitMs?: number;
  /** How long storage may take to answer before a start is given up. */
  readonly storageWaitMs: number;
}
