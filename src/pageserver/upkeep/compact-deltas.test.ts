import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  deltaOf,
  KeyHistories,
  LSN_FIRST,
  type ModelLayer,
  type SomeEvent,
  someEvents,
} from '../../../test/support/key-histories.ts';
import { compareValues } from '../../../test/support/layer-samples.ts';
import { DIRECTORY, targetOf, UpkeepWorld } from '../../../test/support/upkeep-world.ts';
import { wrapSyncs } from '../../io/wrap-syncs.ts';
import { compareKeys } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import { compactDeltas } from './compact-deltas.ts';

const never = new AbortController().signal;
const TARGET_BYTES = 24_000;

/** The history, cut into layers of all keys at some LSNs. */
function cutAt(histories: KeyHistories, cuts: readonly number[]): ModelLayer[] {
  const { lsnEnd, values } = histories;
  const inside = cuts.map((cut) => LSN_FIRST + (cut % (lsnEnd - LSN_FIRST)));
  const borders = [...new Set([LSN_FIRST, ...inside, lsnEnd])].sort((left, right) => left - right);
  return borders.slice(1).map((end, index) => deltaOf(values, ALL_KEYS, borders[index] as number, end));
}

const someCuts = fc.array(fc.nat(), { maxLength: 4 });

test('compaction keeps every value, in layers that have no key in common and the LSNs of all', async () => {
  await fc.assert(
    fc.asyncProperty(someEvents, someCuts, async (events, cuts) => {
      const histories = new KeyHistories(events);
      const world = new UpkeepWorld();
      await world.perform(async (files, workers) => {
        const layers = await world.write(cutAt(histories, cuts), files);
        const made = await workers.run('compactDeltas', { layers, target: targetOf(TARGET_BYTES) }, never);
        const read = await world.read(made, files);
        expect(read.flatMap((layer) => layer.values)).toEqual([...histories.values].sort(compareValues));
        for (const [index, layer] of read.entries()) {
          expect([layer.kind, layer.lsnStart, layer.lsnEnd]).toEqual(['delta', LSN_FIRST, histories.lsnEnd]);
          const next = read[index + 1];
          if (next === undefined) continue;
          expect(compareKeys(layer.keys.end, next.keys.start)).toBeLessThanOrEqual(0);
          expect(made[index]!.sizeBytes).toBeGreaterThanOrEqual(TARGET_BYTES);
        }
        expect((await files.list(DIRECTORY)).length).toBe(layers.length + made.length);
      });
    }),
    { numRuns: 60 },
  );
});

const EVENTS = Array.from({ length: 40 }, (_, index) => ({
  kind: 'write',
  relation: index % 3,
  block: (index * 7) % 4,
  byte: (index % 250) + 1,
})) as SomeEvent[];

test('a job that fails or is cancelled leaves no file behind', async () => {
  const world = new UpkeepWorld();
  const histories = new KeyHistories(EVENTS);
  await world.perform(async (files) => {
    const layers = await world.write(cutAt(histories, [0x100]), files);
    const before = await files.list(DIRECTORY);
    const target = targetOf(TARGET_BYTES);
    let failures = 0;
    for (const what of ['sync', 'step'] as const) {
      for (let failing = 0; ; failing++, failures++) {
        let count = 0;
        const failOnce = (kind: string): void => {
          if (kind === what && count++ === failing) throw new Error('the end');
        };
        const context = {
          files: wrapSyncs(files, async (sync) => {
            failOnce('sync');
            await sync();
          }),
          signal: never,
          step: async () => failOnce('step'),
        };
        const outcome = await compactDeltas({ layers, target }, context).catch(
          (error: Error) => error.message,
        );
        if (typeof outcome !== 'string') {
          for (const layer of outcome) await files.remove(`${DIRECTORY}/${formatLayerFileName(layer)}`);
          break;
        }
        expect(outcome).toBe('the end');
        expect(await files.list(DIRECTORY)).toEqual(before);
      }
    }
    expect(failures).toBeGreaterThan(6);
  });
});

test.each(['before', 'middle', 'after'] as const)(
  'IX-10: compaction that is killed %s any effect and runs again gives the same, and damages nothing',
  async (moment) => {
    const histories = new KeyHistories(EVENTS);
    const target = targetOf(TARGET_BYTES);
    let effects = 0;
    for (let isDone = false; !isDone; effects++) {
      const world = new UpkeepWorld(effects + 1);
      const layers = await world.perform((files) => world.write(cutAt(histories, [0x50, 0x150]), files));
      const names = layers.map(({ layer }) => formatLayerFileName(layer.description));
      await world.crashDuring(effects + 1, moment, (workers) =>
        workers.run('compactDeltas', { layers, target }, never),
      );
      isDone = world.isAlive;
      await world.perform(async (again, workers) => {
        expect(await world.verifyAll(again)).toEqual(expect.arrayContaining(names));
        const made = await workers.run('compactDeltas', { layers, target }, never);
        const read = await world.read(made, again);
        expect(read.flatMap((layer) => layer.values)).toEqual([...histories.values].sort(compareValues));
        const kept = [...names, ...made.map(formatLayerFileName)].sort();
        expect(await again.list(DIRECTORY)).toEqual(kept);
      });
    }
    expect(effects).toBeGreaterThan(15);
  },
  60_000,
);
