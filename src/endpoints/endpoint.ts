import { VarveError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import { applySpec } from '../compute/apply-spec.ts';
import type { Compute } from '../compute/compute.ts';
import type { ComputeDoors, ComputeOptions } from '../compute/options.ts';
import {
  type EndpointEvents,
  type EndpointListen,
  type EndpointRole,
  type EndpointSpec,
  mayPass,
  type RunningEndpoint,
} from '../contracts/endpoint-manager.ts';
import { pause } from '../io/retry-delay.ts';
import { Turn } from '../io/turn.ts';
import { computeOptions, type EndpointPrograms } from './compute-options.ts';
import { EndpointAgent } from './endpoint-agent.ts';
import { untilIdle } from './idle-watch.ts';
import { type TcpAddress, WakeListener } from './wake-listener.ts';

/** Between two attempts to take a port that a server is about to let go of. */
const TAKE_OVER_MS = 2;
/** Where somebody else fences it again and again, two have the same branch. */
const START_ATTEMPTS_MAX = 3;

export interface EndpointPlaces {
  /** Of this endpoint alone. */
  readonly directory: string;
  readonly programs: EndpointPrograms;
  readonly storageWaitMs: number;
}

export interface EndpointDoors extends ComputeDoors {
  /** Who listens at a port, in words; undefined: nobody can say. */
  describePortOwner(port: number): string | undefined;
}

type State =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'suspended'; readonly listener: WakeListener }
  | {
      readonly kind: 'running';
      readonly agent: EndpointAgent;
      readonly address: TcpAddress;
      spec: EndpointSpec;
    };

/** One endpoint: a compute that runs, or a port that is listened at in its place, or nothing. */
export class Endpoint {
  readonly id: string;
  readonly #places: EndpointPlaces;
  readonly #doors: EndpointDoors;
  readonly #events: EndpointEvents;
  /** Given when the endpoint is not managed any more. */
  readonly #life: AbortSignal;
  readonly #turn: Turn;
  #state: State = { kind: 'stopped' };
  #roles: readonly EndpointRole[] = [];
  #isWaking = false;
  /** Whoever comes meanwhile waits for that. */
  #isStarting = false;
  /** Ends a start for a client that is under way. */
  #waking = new AbortController();
  /** Ends the watch over the server that runs. */
  #watching = new AbortController();
  /** What is told is told in order, and nobody waits for it: whoever is told may be about to ask for something. */
  #telling: Promise<void> = Promise.resolve();

  constructor(
    id: string,
    places: EndpointPlaces,
    doors: EndpointDoors,
    events: EndpointEvents,
    life: AbortSignal,
  ) {
    this.id = id;
    this.#places = places;
    this.#doors = { ...doors, logger: doors.logger.child({ endpointId: id }) };
    this.#events = events;
    this.#life = life;
    this.#turn = new Turn(life);
  }

  get isStopped(): boolean {
    return this.#state.kind === 'stopped';
  }

  /** Of a primary of the timeline that runs. */
  headOf(timelineId: string): Lsn | undefined {
    if (this.#state.kind !== 'running') return undefined;
    const { spec, agent } = this.#state;
    if (spec.timelineId !== timelineId || spec.mode.kind !== 'primary') return undefined;
    return agent.compute?.commitLsn;
  }

  /** @throws as EndpointManager.start */
  start(spec: EndpointSpec, signal: AbortSignal): Promise<RunningEndpoint> {
    return this.#inTurn(() => this.#start(spec, signal));
  }

  stop(signal: AbortSignal): Promise<void> {
    this.#waking.abort();
    return this.#inTurn(() => this.#stop(signal));
  }

  suspend(listen: EndpointListen, signal: AbortSignal): Promise<{ port: number }> {
    return this.#inTurn(() => this.#suspend(listen, signal));
  }

  async applyRoles(roles: readonly EndpointRole[], signal: AbortSignal): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#state.kind !== 'running' || this.#state.spec.mode.kind !== 'primary') return;
      // A server that is being started anew finds them.
      this.#roles = mergeRoles(this.#roles, roles);
      const client = await this.#state.agent.compute?.connect('postgres', signal);
      if (client === undefined) return;
      try {
        await applySpec(client, { roles }, this.#doors.random, this.#doors.logger);
      } finally {
        await client.close();
      }
    });
  }

  async #inTurn<Result>(action: () => Promise<Result>): Promise<Result> {
    await this.#turn.take();
    try {
      return await action();
    } finally {
      this.#turn.give();
    }
  }

  async #start(spec: EndpointSpec, signal: AbortSignal): Promise<RunningEndpoint> {
    if (this.#state.kind === 'running') {
      const { compute } = this.#state.agent;
      if (compute !== undefined && isSameServer(this.#state.spec, spec)) {
        this.#state.spec = spec;
        this.#watch(compute, spec);
        return describe(compute, this.#state.address.port);
      }
      await this.#stop(signal);
    }
    const listener = await this.#listenFor(spec.listen);
    const { address } = listener;
    this.#state = { kind: 'suspended', listener };
    this.#roles = spec.roles;
    this.#isStarting = true;
    try {
      const options = await computeOptions(spec, this.#places.programs, {
        directory: this.#places.directory,
        port: address.port,
        releasePort: () => listener.release(),
        storageWaitMs: this.#places.storageWaitMs,
        roles: () => this.#roles,
      });
      const agent = await this.#startAgent(options, signal);
      this.#state = { kind: 'running', agent, address, spec };
      listener.relayAll(this.#life);
      const compute = agent.compute;
      if (compute === undefined)
        throw new VarveError('unavailable', 'POSTGRES_ENDED', 'the server has ended');
      this.#watch(compute, spec);
      return describe(compute, address.port);
    } catch (error) {
      this.#state = { kind: 'stopped' };
      await listener.refuseAll(error as Error);
      throw error;
    } finally {
      this.#isStarting = false;
    }
  }

  /** Whoever looks for the end of a branch holds an election, too, and fences a start that goes on: the next one wins. */
  async #startAgent(options: ComputeOptions, signal: AbortSignal): Promise<EndpointAgent> {
    for (let attempt = 1; ; attempt++) {
      try {
        const agent = await EndpointAgent.start(options, this.#doors, signal, {
          onRestarted: (compute) => this.#onRestarted(agent, compute),
          onFailed: (error) => void this.#onFailed(agent, error),
        });
        return agent;
      } catch (error) {
        const isFenced = error instanceof VarveError && error.kind === 'fenced';
        if (!isFenced || attempt === START_ATTEMPTS_MAX || signal.aborted) throw error;
        this.#doors.logger.warn('A start was fenced, and is made again', { attempt, error });
      }
    }
  }

  /** The listener that there is, where it is at the right place, or a new one. */
  async #listenFor(listen: EndpointListen): Promise<WakeListener> {
    if (this.#state.kind === 'suspended') {
      const { listener } = this.#state;
      const { host, port } = listener.address;
      if (host === listen.host && (port === listen.port || listen.port === 0 || listen.mayMove))
        return listener;
      this.#state = { kind: 'stopped' };
      await listener.refuseAll(new VarveError('unavailable', 'ENDPOINT_MOVED', 'this endpoint has moved'));
    }
    return await this.#listen(listen);
  }

  /** @throws VarveError ‘conflict’ / PORT_IN_USE, which says by whom */
  async #listen({ host, port, mayMove }: EndpointListen): Promise<WakeListener> {
    try {
      return await WakeListener.open(this.#doors, { host, port }, () => this.#onWanted());
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'ADDRESS_IN_USE') throw error;
      if (mayMove) return await this.#listen({ host, port: 0, mayMove: false });
      const owner = this.#doors.describePortOwner(port) ?? 'another program';
      const reason = `port ${port} of ${host} is taken by ${owner}`;
      throw new VarveError('conflict', 'PORT_IN_USE', reason, {}, error);
    }
  }

  async #stop(signal: AbortSignal): Promise<void> {
    const state = this.#state;
    this.#watching.abort();
    this.#state = { kind: 'stopped' };
    if (state.kind === 'running') await state.agent.stop(signal);
    if (state.kind === 'suspended') {
      await state.listener.refuseAll(
        new VarveError('unavailable', 'ENDPOINT_STOPPED', 'this endpoint is stopped'),
      );
    }
  }

  async #suspend(listen: EndpointListen, signal: AbortSignal): Promise<{ port: number }> {
    const state = this.#state;
    if (state.kind === 'running') {
      const listener = await this.#takeOver(state.agent, state.address, signal);
      this.#state = { kind: 'suspended', listener };
      return { port: listener.address.port };
    }
    const listener = await this.#listenFor(listen);
    this.#state = { kind: 'suspended', listener };
    return { port: listener.address.port };
  }

  /** Ends a server, and listens at its port as soon as it does not: what the agent still does then makes nobody wait. */
  async #takeOver(agent: EndpointAgent, address: TcpAddress, signal: AbortSignal): Promise<WakeListener> {
    this.#watching.abort();
    let isEnded = false;
    const ended = agent.stop(signal).finally(() => {
      isEnded = true;
    });
    // It is awaited below.
    ended.catch(() => undefined);
    for (;;) {
      const isLast = isEnded;
      try {
        const listener = await this.#listen({ ...address, mayMove: false });
        await ended.catch((error: unknown) => {
          // It is as good as killed: what was acknowledged is on safekeepers.
          this.#doors.logger.warn('A compute that was suspended has not ended in order', { error });
        });
        return listener;
      } catch (error) {
        if (!(error instanceof VarveError) || error.code !== 'PORT_IN_USE' || isLast) {
          this.#state = { kind: 'stopped' };
          throw error;
        }
      }
      await pause(this.#doors.clock, TAKE_OVER_MS, this.#life);
    }
  }

  #watch(compute: Compute, { suspendAfterSeconds, listen }: EndpointSpec): void {
    this.#watching.abort();
    if (suspendAfterSeconds === 0) return;
    const watching = new AbortController();
    this.#watching = watching;
    const signal = AbortSignal.any([watching.signal, this.#life]);
    void untilIdle(compute, suspendAfterSeconds * 1000, this.#doors, signal).then(async (isIdle) => {
      if (!isIdle) return;
      try {
        await this.#inTurn(async () => {
          if (signal.aborted || this.#state.kind !== 'running') return;
          await this.#suspend(listen, this.#life);
          this.#tell(() => this.#events.onSuspended(this.id));
        });
      } catch (error) {
        if (this.#life.aborted) return;
        this.#doors.logger.warn('An endpoint that idles could not be suspended', { error });
        this.#tell(() => this.#events.onFailed(this.id, error as Error));
      }
    });
  }

  #onRestarted(agent: EndpointAgent, compute: Compute): void {
    if (this.#state.kind !== 'running' || this.#state.agent !== agent) return;
    const { spec, address } = this.#state;
    this.#watch(compute, spec);
    this.#tell(() => this.#events.onActive(this.id, describe(compute, address.port)));
  }

  async #onFailed(agent: EndpointAgent, error: Error): Promise<void> {
    try {
      await this.#inTurn(async () => {
        if (this.#state.kind !== 'running' || this.#state.agent !== agent) return;
        const { address } = this.#state;
        this.#watching.abort();
        this.#state = { kind: 'stopped' };
        if (mayBeOver(error)) await this.#listenAgain(address);
        this.#tell(() => this.#events.onFailed(this.id, error));
      });
    } catch (failure) {
      // All endpoints end.
      if (!this.#life.aborted) throw failure;
    }
  }

  #onWanted(): void {
    if (this.#isWaking || this.#isStarting) return;
    this.#isWaking = true;
    void this.#wake().finally(() => {
      this.#isWaking = false;
      // Somebody who came when the others had been told why they cannot be served.
      if (this.#state.kind === 'suspended' && this.#state.listener.waiting > 0) this.#onWanted();
    });
  }

  async #wake(): Promise<void> {
    let spec: EndpointSpec;
    // That an earlier start has failed is known before this one begins.
    await this.#telling;
    try {
      // Not in turn: whoever gives it may wait for something that is.
      spec = await this.#events.onWake(this.id);
    } catch (error) {
      if (this.#state.kind === 'suspended') this.#state.listener.refuseWaiting(error as Error);
      return;
    }
    const waking = new AbortController();
    try {
      await this.#inTurn(async () => {
        if (this.#state.kind !== 'suspended') return;
        this.#waking = waking;
        const { address } = this.#state.listener;
        try {
          const running = await this.#start(spec, AbortSignal.any([waking.signal, this.#life]));
          this.#tell(() => this.#events.onActive(this.id, running));
        } catch (error) {
          if (mayBeOver(error) && !waking.signal.aborted && !this.#life.aborted)
            await this.#listenAgain(address);
          throw error;
        }
      });
    } catch (error) {
      if (this.#life.aborted || waking.signal.aborted) return;
      this.#doors.logger.warn('An endpoint that a client has come to could not be started', { error });
      this.#tell(() => this.#events.onFailed(this.id, error as Error));
    }
  }

  /** What its start has failed of may be over when the next client comes. */
  async #listenAgain(address: TcpAddress): Promise<void> {
    try {
      this.#state = { kind: 'suspended', listener: await this.#listen({ ...address, mayMove: false }) };
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      this.#doors.logger.warn('An endpoint that has failed cannot be listened for', { error });
    }
  }

  #tell(news: () => Promise<void>): void {
    this.#telling = this.#telling.then(news).catch((error: unknown) => {
      this.#doors.logger.error('News of an endpoint could not be told', { error });
    });
  }
}

const mayBeOver = (error: unknown): boolean => error instanceof VarveError && mayPass(error);

/** Whether what runs need not be ended for what is asked for. */
const isSameServer = (one: EndpointSpec, other: EndpointSpec): boolean =>
  one.tenantId === other.tenantId &&
  one.timelineId === other.timelineId &&
  JSON.stringify(one.mode) === JSON.stringify(other.mode);

const describe = ({ pid, startLsn, steps }: Compute, port: number): RunningEndpoint => ({
  port,
  pid,
  startLsn,
  steps,
});

/** The later word counts. */
function mergeRoles(known: readonly EndpointRole[], given: readonly EndpointRole[]): EndpointRole[] {
  const names = new Set(given.map(({ name }) => name));
  return [...known.filter(({ name }) => !names.has(name)), ...given];
}
