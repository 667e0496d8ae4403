import type { SeededRandom } from '../../support/seeded-random.ts';
import type { Survival } from '../doors/disk.ts';
import type { CrashKind, CrashMoment } from '../kernel-node.ts';

/** Something that goes wrong, at a simulated time. Nodes are numbered from 0: safekeepers, then computes. */
export type Fault = { readonly atMs: number } & (
  | {
      readonly kind: 'crash';
      readonly node: number;
      readonly crash: CrashKind;
      readonly survival: Survival;
      /** It comes with the so-manieth effect from then on; 0: at once. */
      readonly effects: number;
      readonly moment: CrashMoment;
    }
  | {
      /** As `crash`, counted from where the safekeeper has next followed a proposer that was elected. */
      readonly kind: 'crash-after-election';
      readonly node: number;
      readonly crash: CrashKind;
      readonly survival: Survival;
      readonly effects: number;
      readonly moment: CrashMoment;
    }
  /** The process is killed, comes up at once, and soon the machine has no power. */
  | { readonly kind: 'crash-twice'; readonly node: number; readonly afterMs: number }
  | { readonly kind: 'power-cut'; readonly survival: Survival }
  | {
      readonly kind: 'block';
      readonly from: number;
      readonly to: number;
      readonly isOneWay: boolean;
      readonly forMs: number;
    }
  | { readonly kind: 'isolate'; readonly node: number; readonly forMs: number }
  | { readonly kind: 'break'; readonly from: number; readonly to: number }
  | { readonly kind: 'slow-network'; readonly factor: number; readonly forMs: number }
  | { readonly kind: 'slow-disk'; readonly node: number; readonly factor: number; readonly forMs: number }
  | {
      readonly kind: 'failing-disk';
      readonly node: number;
      readonly operation: 'write' | 'sync' | 'names' | 'read';
      readonly count: number;
    }
  | { readonly kind: 'full-disk'; readonly node: number; readonly pages: number; readonly forMs: number }
  | { readonly kind: 'clock-jump'; readonly node: number; readonly deltaMs: number }
  | { readonly kind: 'stop-safekeeper'; readonly node: number }
  | { readonly kind: 'let-go'; readonly node: number }
  | { readonly kind: 'status-and-vote'; readonly node: number }
  | { readonly kind: 'bump-term'; readonly node: number }
  | { readonly kind: 'membership' }
  | { readonly kind: 'start-compute'; readonly compute: number }
);

export interface FaultField {
  readonly safekeepers: number;
  readonly computes: number;
  readonly durationMs: number;
  readonly hasMembership: boolean;
}

const SURVIVALS: readonly Survival[] = ['nothing', 'everything', 'some', 'some'];
const MOMENTS: readonly CrashMoment[] = ['before', 'middle', 'after'];

/** How often each kind comes, next to each other. */
const WEIGHTS: Readonly<Record<Fault['kind'], number>> = {
  crash: 12,
  'crash-after-election': 5,
  'crash-twice': 3,
  'power-cut': 1.5,
  block: 5,
  isolate: 3,
  break: 4,
  'slow-network': 1,
  'slow-disk': 2,
  'failing-disk': 3,
  'full-disk': 1,
  'clock-jump': 1,
  'stop-safekeeper': 1.5,
  'let-go': 1,
  'status-and-vote': 2,
  'bump-term': 0.7,
  membership: 3,
  'start-compute': 6,
};
const KINDS = Object.keys(WEIGHTS) as Fault['kind'][];

/** A plan of faults, in order of their times. Each plan leaves some kinds out, so that runs differ. */
export function drawFaults(random: SeededRandom, field: FaultField): Fault[] {
  const weights = KINDS.map((kind) => {
    const isOff = random.chance(0.25) || (kind === 'membership' && !field.hasMembership);
    return isOff ? 0 : WEIGHTS[kind] * random.between(0.3, 1.7);
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const count = 4 + random.below(16);
  const faults: Fault[] = [];
  for (let index = 0; index < count; index++) {
    let left = random.fraction() * sum;
    const at = weights.findIndex((weight) => (left -= weight) < 0);
    faults.push(drawFault(random, field, KINDS[at] ?? 'crash'));
  }
  return faults.sort((left, right) => left.atMs - right.atMs);
}

function drawFault(random: SeededRandom, field: FaultField, kind: Fault['kind']): Fault {
  const atMs = random.below(field.durationMs * 1000) / 1000;
  const safekeeper = (): number => random.below(field.safekeepers);
  const any = (): number => random.below(field.safekeepers + field.computes);
  const forMs = Math.round(random.between(20, field.durationMs / 2));
  switch (kind) {
    case 'crash':
      return {
        atMs,
        kind,
        node: random.chance(0.75) ? safekeeper() : any(),
        crash: random.chance(0.6) ? 'power' : 'kill',
        survival: random.pick(SURVIVALS),
        effects: random.chance(0.2) ? 0 : 1 + random.below(30),
        moment: random.pick(MOMENTS),
      };
    case 'crash-after-election':
      return {
        atMs,
        kind,
        node: safekeeper(),
        crash: random.chance(0.5) ? 'power' : 'kill',
        survival: random.pick(SURVIVALS),
        effects: 1 + random.below(4),
        moment: random.pick(MOMENTS),
      };
    case 'crash-twice':
      return { atMs, kind, node: safekeeper(), afterMs: random.between(1, 15) };
    case 'power-cut':
      return { atMs, kind, survival: random.pick(SURVIVALS) };
    case 'block':
    case 'break': {
      const from = safekeeper();
      const to = field.safekeepers + random.below(field.computes);
      const isTurned = random.chance(0.5);
      const ends = { from: isTurned ? to : from, to: isTurned ? from : to };
      return kind === 'break'
        ? { atMs, kind, ...ends }
        : { atMs, kind, ...ends, isOneWay: random.chance(0.4), forMs };
    }
    case 'isolate':
      return { atMs, kind, node: any(), forMs };
    case 'slow-network':
      return { atMs, kind, factor: 5 + random.below(200), forMs };
    case 'slow-disk':
      return { atMs, kind, node: safekeeper(), factor: 5 + random.below(100), forMs };
    case 'failing-disk': {
      const operation = random.pick(['write', 'sync', 'sync', 'names', 'read'] as const);
      return { atMs, kind, node: safekeeper(), operation, count: 1 + random.below(3) };
    }
    case 'full-disk':
      return { atMs, kind, node: safekeeper(), pages: random.below(20), forMs };
    case 'clock-jump':
      return { atMs, kind, node: any(), deltaMs: Math.round(random.between(-3_600_000, 3_600_000)) };
    case 'membership':
      return { atMs, kind };
    case 'start-compute':
      return { atMs, kind, compute: random.below(field.computes) };
    default:
      return { atMs, kind, node: safekeeper() };
  }
}

/** One line for a reader. */
export function describeFault(fault: Fault): string {
  const { atMs, kind, ...rest } = fault;
  const details = Object.entries(rest).map(([name, value]) => `${name}=${value}`);
  return `${atMs.toFixed(3)} ${kind} ${details.join(' ')}`.trimEnd();
}
