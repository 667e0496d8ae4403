import { BadRequestError } from '../base/errors.ts';
import type { TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import type {
  EndpointAddress,
  EndpointEvents,
  EndpointManager,
  EndpointRole,
  EndpointSpec,
  RunningEndpoint,
} from '../contracts/endpoint-manager.ts';
import type { EndpointPrograms } from './compute-options.ts';
import { Endpoint, type EndpointDoors } from './endpoint.ts';

/** An endpoint's id is the name of a directory. */
const ENDPOINT_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

export interface EndpointManagerOptions {
  /** Computes have their directories below it. */
  readonly directory: string;
  readonly programs: EndpointPrograms;
  /** How long storage may take to answer before a start is given up. */
  readonly storageWaitMs: number;
}

/** Runs the computes of all endpoints in this process, each with its agent. */
export class LocalEndpointManager implements EndpointManager {
  readonly #options: EndpointManagerOptions;
  readonly #doors: EndpointDoors;
  readonly #events: EndpointEvents;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #life = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(options: EndpointManagerOptions, doors: EndpointDoors, events: EndpointEvents) {
    this.#options = options;
    this.#doors = doors;
    this.#events = events;
  }

  start(spec: EndpointSpec, signal: AbortSignal): Promise<RunningEndpoint> {
    return this.#get(spec.endpointId).start(spec, signal);
  }

  async stop(endpointId: string, signal: AbortSignal): Promise<void> {
    await this.#endpoints.get(endpointId)?.stop(signal);
  }

  suspend({ endpointId, listen }: EndpointAddress, signal: AbortSignal): Promise<{ readonly port: number }> {
    return this.#get(endpointId).suspend(listen, signal);
  }

  async applyRoles(endpointId: string, roles: readonly EndpointRole[], signal: AbortSignal): Promise<void> {
    await this.#endpoints.get(endpointId)?.applyRoles(roles, signal);
  }

  async remove(endpointId: string, signal: AbortSignal): Promise<void> {
    await this.stop(endpointId, signal);
    this.#endpoints.delete(endpointId);
    await this.#doors.files.removeDirectory(this.#directoryOf(endpointId));
  }

  headOf(timelineId: TimelineId): Lsn | undefined {
    for (const endpoint of this.#endpoints.values()) {
      const lsn = endpoint.headOf(timelineId);
      if (lsn !== undefined) return lsn;
    }
    return undefined;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const endings = await Promise.allSettled(
      [...this.#endpoints.values()].map((endpoint) => endpoint.stop(this.#life.signal)),
    );
    this.#life.abort();
    for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
  }

  #get(endpointId: string): Endpoint {
    let endpoint = this.#endpoints.get(endpointId);
    if (endpoint === undefined) {
      const { programs, storageWaitMs } = this.#options;
      const places = { directory: this.#directoryOf(endpointId), programs, storageWaitMs };
      endpoint = new Endpoint(endpointId, places, this.#doors, this.#events, this.#life.signal);
      this.#endpoints.set(endpointId, endpoint);
    }
    return endpoint;
  }

  #directoryOf(endpointId: string): string {
    if (!ENDPOINT_ID.test(endpointId)) {
      throw new BadRequestError('BAD_ENDPOINT_ID', `“${endpointId}” is no name of an endpoint`);
    }
    return `${this.#options.directory}/${endpointId}`;
  }
}
