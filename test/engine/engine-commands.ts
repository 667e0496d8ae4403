/** What may happen to a storage engine, as plain data that can be drawn, shrunk and printed. */
import fc from 'fast-check';
import type { CrashMoment } from '../sim/kernel-node.ts';
import type { ObjectsMode } from './engine-world.ts';

/** The node crashes at the so-manyth effect from the beginning of the command on, if it comes so far. */
export interface PlannedCrash {
  readonly effect: number;
  readonly moment: CrashMoment;
  readonly kind: 'power' | 'kill';
}

/** `branch` and `parent` count the timelines that there are, round and round; `place` is a place in their history. */
type Action =
  | { readonly kind: 'write'; readonly branch: number; readonly records: number; readonly seed: number }
  | { readonly kind: 'beside'; readonly branch: number; readonly seed: number }
  | { readonly kind: UpkeepAction; readonly branch: number }
  | { readonly kind: 'branch'; readonly parent: number; readonly place: number | undefined }
  | { readonly kind: 'delete'; readonly branch: number }
  | { readonly kind: 'detach'; readonly branch: number; readonly isOfAll: boolean }
  | { readonly kind: 'lease'; readonly branch: number; readonly place: number; readonly ms: number }
  | { readonly kind: 'read'; readonly branch: number; readonly place: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'objects'; readonly mode: ObjectsMode }
  | { readonly kind: 'disk'; readonly failChance: number }
  | { readonly kind: 'restart' | 'wipe' }
  | { readonly kind: 'crash'; readonly power: boolean }
  | { readonly kind: 'litter'; readonly branch: number; readonly what: Litter };

export type UpkeepAction = 'freeze' | 'flush' | 'compact' | 'images' | 'garbage' | 'bottom' | 'all';
export type Litter = 'open-layer' | 'temporary' | 'layer' | 'cut-layer' | 'timeline';

export type Command = Action & {
  /** Where in the history of which timeline is read meanwhile. */
  readonly reads?: readonly { readonly branch: number; readonly place: number }[] | undefined;
  readonly crash?: PlannedCrash | undefined;
};

const branch = fc.nat(5);
const place = fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100);
const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);

const write = fc.record({
  kind: kind('write'),
  branch,
  records: fc.integer({ min: 1, max: 40 }),
  seed: fc.nat(0xffff),
});
const upkeep = fc.record({
  kind: fc.constantFrom<UpkeepAction[]>(
    'freeze',
    'flush',
    'flush',
    'compact',
    'images',
    'garbage',
    'bottom',
    'all',
  ),
  branch,
});

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 10, arbitrary: write },
  { weight: 1, arbitrary: fc.record({ kind: kind('beside'), branch, seed: fc.nat(0xffff) }) },
  { weight: 9, arbitrary: upkeep },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind('branch'),
      parent: branch,
      place: fc.option(place, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind('delete'), branch }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('detach'), branch, isOfAll: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kind('lease'),
      branch,
      place,
      ms: fc.constantFrom(10, 100_000, 10_000_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: kind('read'), branch, place }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('pass'), ms: fc.constantFrom(1, 20, 1000, 30_000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: kind('objects'),
      mode: fc.constantFrom<ObjectsMode[]>('work', 'slow', 'flaky', 'stuck'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind('disk'), failChance: fc.constantFrom(0, 0.02, 0.2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('restart' as const, 'wipe' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('crash'), power: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kind('litter'),
      branch,
      what: fc.constantFrom<Litter[]>('open-layer', 'temporary', 'layer', 'cut-layer', 'timeline'),
    }),
  },
);

const crash = fc.record({
  effect: fc.integer({ min: 1, max: 60 }),
  moment: fc.constantFrom<CrashMoment[]>('before', 'middle', 'after'),
  kind: fc.constantFrom('power' as const, 'kill' as const),
});

/** One time in so many. */
const seldom = <Value>(times: number, arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const command: fc.Arbitrary<Command> = fc
  .tuple(
    action,
    seldom(3, fc.array(fc.record({ branch, place }), { minLength: 1, maxLength: 3 })),
    seldom(12, crash),
  )
  .map(([what, reads, planned]) => ({
    ...what,
    ...(reads === undefined ? {} : { reads }),
    ...(planned === undefined ? {} : { crash: planned }),
  }));

/** All that a run depends on. */
export const someRuns = fc.record({
  seed: fc.nat(0xffff_ffff),
  settings: fc.record({
    openLayerBytes: fc.constantFrom(8_000, 40_000, 200_000),
    targetBytes: fc.constantFrom(4_000, 30_000, 200_000),
    compactionThreshold: fc.integer({ min: 1, max: 4 }),
    imageThreshold: fc.integer({ min: 1, max: 3 }),
    bottomThreshold: fc.integer({ min: 2, max: 3 }),
    frozenLayersMax: fc.integer({ min: 1, max: 3 }),
    historyBytes: fc.constantFrom(0, 5_000, 60_000),
    historyMs: fc.constantFrom(0, 2_000, 60_000),
    isCompressed: fc.boolean(),
  }),
  blockCacheBytes: fc.constantFrom(30_000, 4_000_000),
  pageCacheBytes: fc.constantFrom(1, 100_000, 2_000_000),
  commands: fc.array(command, { minLength: 1, maxLength: 40, size: 'max' }),
});
export type Run = typeof someRuns extends fc.Arbitrary<infer One> ? One : never;
