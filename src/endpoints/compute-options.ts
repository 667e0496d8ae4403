import type { ComputeOptions } from '../compute/options.ts';
import type { EndpointRole, EndpointSpec } from '../contracts/endpoint-manager.ts';

/** What all computes of this machine have in common. */
export interface EndpointPrograms {
  /** PostgreSQL's, by major. @throws VarveError ‘precondition’ where there are none of it */
  findPrograms(major: number): Promise<string>;
  /** undefined: all pages are brought before a server starts. */
  readonly shim: string | undefined;
}

/** The parts of a compute's options that an endpoint gives it itself. */
export interface EndpointPlace {
  readonly directory: string;
  readonly port: number;
  readonly releasePort: (() => Promise<void>) | undefined;
  readonly storageWaitMs: number;
  /** Those that the branch is to have when the server starts, however late that is. */
  roles(): readonly EndpointRole[];
}

/** A compute of an endpoint, as the compute's own options have it. */
export async function computeOptions(
  spec: EndpointSpec,
  { findPrograms, shim }: EndpointPrograms,
  place: EndpointPlace,
): Promise<ComputeOptions> {
  const { storageToken: token, pageserver } = spec;
  return {
    tenantId: spec.tenantId,
    timelineId: spec.timelineId,
    mode: spec.mode,
    membership: spec.membership,
    pageserver: {
      address: { host: pageserver.host, port: pageserver.port },
      ...(token === undefined ? {} : { token }),
    },
    ...(token === undefined ? {} : { safekeeperToken: token }),
    directory: place.directory,
    binDirectory: await findPrograms(spec.pgMajor),
    postgresMajor: spec.pgMajor,
    ...(shim === undefined ? {} : { shim }),
    listen: { host: spec.listen.host, port: place.port },
    ...(place.releasePort === undefined ? {} : { releasePort: place.releasePort }),
    walSegmentBytes: spec.walSegmentBytes,
    settings: spec.settings,
    get roles() {
      return spec.mode.kind === 'primary' ? place.roles() : [];
    },
    storageWaitMs: place.storageWaitMs,
  };
}
