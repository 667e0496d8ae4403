import { VarveError } from '../../src/base/errors.ts';
import type { TimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type {
  EndpointAddress,
  EndpointEvents,
  EndpointManager,
  EndpointRole,
  EndpointSpec,
  RunningEndpoint,
} from '../../src/contracts/endpoint-manager.ts';
import type { CrashDoor } from './crash-door.ts';

/** Carries nothing out, and remembers what it was told: what runs, and what is listened at. It ends with its process. */
export class RecordingEndpoints implements EndpointManager {
  readonly events: EndpointEvents;
  readonly running = new Map<string, EndpointSpec>();
  readonly listening = new Map<string, EndpointAddress>();
  readonly roles = new Map<string, readonly EndpointRole[]>();
  readonly removed: string[] = [];
  readonly heads = new Map<TimelineId, Lsn>();
  /** The next start fails of it. */
  failure: Error | undefined;
  readonly #door: CrashDoor;
  #portNext = 40_000;

  constructor(events: EndpointEvents, door: CrashDoor) {
    this.events = events;
    this.#door = door;
  }

  start(spec: EndpointSpec): Promise<RunningEndpoint> {
    return this.#door.pass(async () => {
      const { failure } = this;
      this.failure = undefined;
      this.listening.delete(spec.endpointId);
      this.running.delete(spec.endpointId);
      if (failure !== undefined) throw failure;
      const writer = [...this.running.values()].find(
        (other) => other.mode.kind === 'primary' && other.timelineId === spec.timelineId,
      );
      if (spec.mode.kind === 'primary' && writer !== undefined) {
        throw new Error(
          `two primaries write to ${spec.timelineId}: ${writer.endpointId}, ${spec.endpointId}`,
        );
      }
      const port = spec.listen.port === 0 ? this.#portNext++ : spec.listen.port;
      this.running.set(spec.endpointId, spec);
      return { port, pid: 1, startLsn: toLsn(0), steps: [{ step: 'election', ms: 1 }] };
    });
  }

  stop(endpointId: string): Promise<void> {
    return this.#door.pass(async () => {
      this.running.delete(endpointId);
      this.listening.delete(endpointId);
    });
  }

  suspend(endpoint: EndpointAddress): Promise<{ readonly port: number }> {
    return this.#door.pass(async () => {
      this.running.delete(endpoint.endpointId);
      this.listening.set(endpoint.endpointId, endpoint);
      return { port: endpoint.listen.port === 0 ? this.#portNext++ : endpoint.listen.port };
    });
  }

  applyRoles(endpointId: string, roles: readonly EndpointRole[]): Promise<void> {
    return this.#door.pass(async () => void this.roles.set(endpointId, roles));
  }

  remove(endpointId: string): Promise<void> {
    return this.#door.pass(async () => {
      if (this.running.has(endpointId)) throw new VarveError('conflict', 'RUNS', 'it runs');
      this.removed.push(endpointId);
    });
  }

  headOf(timelineId: TimelineId): Lsn | undefined {
    return this.heads.get(timelineId);
  }

  async close(): Promise<void> {
    this.running.clear();
    this.listening.clear();
  }

  /** A client has come, as a manager would tell it. */
  async wake(endpointId: string): Promise<EndpointSpec> {
    if (!this.listening.has(endpointId)) throw new Error(`nobody listens for ${endpointId}`);
    const spec = await this.events.onWake(endpointId);
    await this.events.onActive(endpointId, await this.start(spec));
    return spec;
  }
}
