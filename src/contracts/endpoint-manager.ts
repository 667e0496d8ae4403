import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import type { MembershipConfiguration } from './membership.ts';

/** How a compute of an endpoint begins: as `ComputeMode` of the compute has it. */
export type EndpointMode =
  | { readonly kind: 'primary' }
  | { readonly kind: 'read-only'; readonly lsn: Lsn }
  | { readonly kind: 'standby' };

/** A role that the branch of a primary is to have. What is not named stays as it is, or as CREATE ROLE has it. */
export interface EndpointRole {
  readonly name: string;
  /** A SCRAM-SHA-256 secret as PostgreSQL stores it; null: the role has no password. */
  readonly password: string | null;
  /** false: it was deleted, and may not log in any more. */
  readonly login: boolean;
  readonly superuser?: boolean;
  readonly createdb?: boolean;
  readonly createrole?: boolean;
}

/** Where clients come. */
export interface EndpointListen {
  readonly host: string;
  /** 0: a free one is to be taken. It is asked for again by its number from then on. */
  readonly port: number;
  /** Whether another port may be taken where this one is in use: nobody has asked for it by its number. */
  readonly mayMove: boolean;
}

/** What an endpoint is listened at for while it does not run. */
export interface EndpointAddress {
  readonly endpointId: string;
  readonly listen: EndpointListen;
}

/** Everything that a compute needs. */
export interface EndpointSpec extends EndpointAddress {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly mode: EndpointMode;
  readonly membership: MembershipConfiguration;
  /** The page service. */
  readonly pageserver: { readonly host: string; readonly port: number };
  /** A token of the scope `tenant` for this timeline alone, for the pageserver and for safekeepers, where they ask for one. */
  readonly storageToken?: () => Promise<string>;
  readonly pgMajor: number;
  readonly walSegmentBytes: number;
  /** Settings of the server; those that durability rests on are refused before they come here, by the compute's own rule. */
  readonly settings: Readonly<Record<string, string>>;
  readonly roles: readonly EndpointRole[];
  /** Of idling after which the compute is suspended; 0: never. */
  readonly suspendAfterSeconds: number;
}

export interface EndpointStep {
  readonly step: string;
  readonly ms: number;
}

export interface RunningEndpoint {
  /** The one that was taken. */
  readonly port: number;
  readonly pid: number;
  /** Where the branch's WAL goes on (a primary), or what is seen (a read-only one). */
  readonly startLsn: Lsn;
  readonly steps: readonly EndpointStep[];
}

/**
 * Starts and stops computes. The control plane decides; this carries out, and says what it sees. Calls for one endpoint
 * come one at a time; those for different endpoints at the same time. What it was doing when the process ended is
 * forgotten: it starts with no endpoint, and is told anew of all that there are.
 */
export interface EndpointManager {
  /**
   * Resolves when a client can connect, or fails with why: then nothing of it runs, and nothing is listened at. Idempotent: one
   * that runs by the same spec goes on; one that runs by another timeline's is stopped first.
   */
  start(spec: EndpointSpec, signal: AbortSignal): Promise<RunningEndpoint>;
  /**
   * In order: what was acknowledged is on safekeepers. Nothing is listened at then. Idempotent, also where nothing ever ran. Ends
   * a start for a client that is under way, of which nothing is told any more.
   */
  stop(endpointId: string, signal: AbortSignal): Promise<void>;
  /**
   * Not running, but its port is listened at: the first client that comes makes it start (`onWake`). Idempotent, also where
   * nothing ever ran.
   * @returns the port that is listened at
   */
  suspend(endpoint: EndpointAddress, signal: AbortSignal): Promise<{ readonly port: number }>;
  /** Makes the roles so in a primary that runs; does nothing where it does not: they are in its next spec. */
  applyRoles(endpointId: string, roles: readonly EndpointRole[], signal: AbortSignal): Promise<void>;
  /** Removes what is local of an endpoint that is stopped: it will not be asked for again. Idempotent. */
  remove(endpointId: string, signal: AbortSignal): Promise<void>;
  /** Commit LSN of the running primary of a timeline, at or above all that was acknowledged; undefined: none runs here. */
  headOf(timelineId: TimelineId): Lsn | undefined;
  /** Stops all, in order. */
  close(): Promise<void>;
}

/** What the control plane is told: state changes that it did not ask for. */
export interface EndpointEvents {
  /**
   * A client has come to a suspended endpoint. The spec is what to start; then `onActive` or `onFailed` is to be told.
   * @throws VarveError where it may not start now; its client is to be told why
   */
  onWake(endpointId: string): Promise<EndpointSpec>;
  /** It was started for a client, or by itself after a crash. */
  onActive(endpointId: string, running: RunningEndpoint): Promise<void>;
  /** It has idled for long enough: its compute has ended in order, and its port is listened at. */
  onSuspended(endpointId: string): Promise<void>;
  /**
   * It has ended, and is not tried again by itself. Nothing is listened at, unless it has ended of what may pass (‘unavailable’,
   * ‘fenced’): the next client that comes makes it start again then (`onWake`).
   */
  onFailed(endpointId: string, error: Error): Promise<void>;
}

/** How whoever composes the control plane gives it a manager, which then tells the control plane. */
export type MakeEndpointManager = (events: EndpointEvents) => EndpointManager;

/**
 * Whether what an endpoint has failed of may be over when the next client comes: storage was away, or somebody who looked for
 * the end of the branch held an election meanwhile.
 */
export const mayPass = ({ kind }: { readonly kind: string }): boolean =>
  kind === 'unavailable' || kind === 'fenced';
