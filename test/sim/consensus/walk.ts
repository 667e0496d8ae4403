import type { SeededRandom } from '../../support/seeded-random.ts';
import { heal } from './heal.ts';
import type { ModelAcceptor } from './model-acceptor.ts';
import type { Connection, ModelCompute } from './model-compute.ts';
import { LOG_BYTES_MAX } from './model-disk.ts';
import type { Birth } from './model-timeline.ts';
import { type Mutant, World } from './world.ts';

/** How often what happens; drawn anew for each walk, so that each looks into another corner. */
interface Weights {
  readonly [action: string]: number;
}

const BIRTHS: readonly (readonly Birth[])[] = [
  ['unknown'],
  ['start-known'],
  ['start-committed'],
  ['start-known', 'unknown'],
];

function drawWeights(random: SeededRandom, hasGenerations: boolean): Weights {
  const skew = (): number => 0.3 + random.fraction();
  const rare = (weight: number): number => (random.chance(0.5) ? weight * random.fraction() : 0);
  return {
    receive: 40 * skew(),
    step: 25 * skew(),
    deliver: 40 * skew(),
    pump: 25 * skew(),
    connect: 12 * skew(),
    flush: 10 * skew(),
    fetch: 8 * skew(),
    write: 10 * skew(),
    heartbeat: 1,
    recycle: 1,
    learn: rare(12),
    reset: rare(3),
    drop: rare(3),
    crash: rare(3),
    restart: 4,
    compute: 0.5 + rare(3),
    stop: rare(1),
    bump: rare(0.5),
    answer: rare(6),
    membership: hasGenerations ? 1 + random.below(15) : 0,
  };
}

export interface WalkOptions {
  readonly seed: number;
  readonly steps: number;
  readonly mutant?: Mutant | undefined;
  readonly trace?: string[];
}

/** One random walk, and at its end the proof that all heals. Throws what it finds. */
export function walk({ seed, steps, mutant, trace }: WalkOptions): World {
  const hasGenerations = mutant === 'generation-ignored' || seed % 3 !== 0;
  const options = {
    acceptorCount: hasGenerations ? 4 + (seed % 2) : 3,
    hasGenerations,
    births: BIRTHS[(seed >>> 2) % BIRTHS.length] as readonly Birth[],
    mutant,
  };
  const world = new World(seed, options, trace);
  const weights = drawWeights(world.random, hasGenerations);
  const names = Object.keys(weights);
  const sum = names.reduce((total, name) => total + (weights[name] as number), 0);
  const computesMax = 1 + world.random.below(3);
  for (let step = 0; step < steps; step++) {
    let left = world.random.fraction() * sum;
    const name = names.find((candidate) => (left -= weights[candidate] as number) < 0) ?? 'receive';
    act(world, name, computesMax);
    world.observer.observe(world.acceptors);
    if (step % 50 === 49) tidy(world);
  }
  heal(world);
  tidy(world);
  return world;
}

function tidy(world: World): void {
  world.observer.compare(world.acceptors);
  world.connections = world.connections.filter(
    ({ isOpen, isAccepted, toAcceptor }) => isOpen || (isAccepted && toAcceptor.length > 0),
  );
}

/** Does what is named, to somebody to whom it can be done. */
function act(world: World, name: string, computesMax: number): void {
  const { random, connections, acceptors } = world;
  const running = world.computes.filter(({ isOver }) => !isOver);
  const connection = (fits: (one: Connection) => boolean): Connection | undefined =>
    pick(random, connections, fits);
  const idle = (id: number): boolean =>
    !world.acceptor(id).isBusy && world.acceptor(id).acceptor !== undefined;
  switch (name) {
    case 'receive': {
      const chosen = connection((one) => one.toAcceptor.length > 0 && one.isAccepted && idle(one.nodeId));
      if (chosen !== undefined) world.receive(chosen);
      if (chosen !== undefined && random.chance(0.7)) finish(world, world.acceptor(chosen.nodeId));
      break;
    }
    case 'step': {
      const chosen = pick(random, acceptors, ({ isBusy }) => isBusy);
      if (chosen !== undefined) world.stepAcceptor(chosen);
      break;
    }
    case 'deliver': {
      const chosen = connection((one) => one.isOpen && (one.toProposer.length > 0 || !one.isAccepted));
      if (chosen !== undefined) world.deliver(chosen);
      break;
    }
    case 'pump': {
      const chosen = connection((one) => one.isOpen && one.isPumpDue);
      if (chosen !== undefined) world.pump(chosen);
      break;
    }
    case 'flush':
    case 'answer': {
      // An answer that nothing asked for, as a timer might give it, must do no harm.
      const isDue = (one: Connection): boolean => (name === 'answer' ? one.hasVoted : one.isAnswerDue);
      const chosen = connection((one) => one.isAccepted && isDue(one) && idle(one.nodeId));
      if (chosen !== undefined) world.flush(chosen);
      break;
    }
    case 'fetch': {
      const chosen = connection((one) => one.isOpen && one.fetch !== undefined);
      if (chosen !== undefined) world.fetch(chosen);
      break;
    }
    case 'reset': {
      const chosen = connection((one) => one.isOpen);
      if (chosen !== undefined) world.disconnect(chosen.compute, chosen.nodeId);
      break;
    }
    case 'drop': {
      const chosen = connection((one) => one.isAccepted);
      if (chosen !== undefined) world.drop(chosen);
      break;
    }
    case 'learn':
    case 'bump':
    case 'crash':
    case 'restart':
      actAsSafekeeper(world, name);
      break;
    case 'membership':
      world.controller.step(acceptors);
      break;
    case 'compute':
      if (running.length < computesMax) world.startCompute(world.controller.current);
      break;
    default:
      actAsCompute(
        world,
        name,
        pick(random, running, () => true),
      );
  }
}

function actAsSafekeeper(world: World, name: 'learn' | 'bump' | 'crash' | 'restart'): void {
  const { random, acceptors } = world;
  const isUp = name !== 'restart';
  const needsIdle = name === 'learn' || name === 'bump';
  const fits = ({ acceptor, isBusy }: ModelAcceptor): boolean =>
    (acceptor !== undefined) === isUp && !(needsIdle && isBusy);
  const chosen = pick(random, acceptors, fits);
  if (chosen === undefined) return;
  switch (name) {
    case 'learn':
      world.learn(chosen, random.pick(acceptors));
      break;
    case 'bump':
      world.bumpTerm(chosen);
      break;
    case 'crash':
      world.crash(chosen, random.chance(0.5));
      break;
    case 'restart':
      world.restart(chosen);
  }
}

function actAsCompute(world: World, name: string, compute: ModelCompute | undefined): void {
  const { random } = world;
  if (compute === undefined) {
    if (name === 'connect') world.startCompute(world.controller.current);
    return;
  }
  switch (name) {
    case 'connect': {
      const { members, newMembers } = compute.membership;
      const { id } = random.pick([...members, ...(newMembers ?? [])]);
      // Now and then beside a connection that is still there.
      if (!compute.connections.has(id) || random.chance(0.05)) world.connect(compute, id);
      break;
    }
    case 'write':
      if (compute.hasServer && compute.walEndLsn < LOG_BYTES_MAX - 400)
        world.write(compute, random.chance(0.5));
      break;
    case 'heartbeat':
      world.heartbeat(compute);
      break;
    case 'recycle': {
      const { neededLsn, phase } = compute.machine;
      if (phase === 'elected') compute.heldFromLsn = Math.max(compute.heldFromLsn, neededLsn);
      break;
    }
    case 'stop':
      world.stopCompute(compute);
      break;
    default:
      throw new Error(`nothing is known of ${name}`);
  }
}

function finish(world: World, model: ModelAcceptor): void {
  while (model.isBusy) world.stepAcceptor(model);
}

function pick<T>(random: SeededRandom, values: readonly T[], fits: (value: T) => boolean): T | undefined {
  const start = random.below(values.length || 1);
  for (let index = 0; index < values.length; index++) {
    const value = values[(start + index) % values.length] as T;
    if (fits(value)) return value;
  }
  return undefined;
}
