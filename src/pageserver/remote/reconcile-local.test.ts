import { expect, test } from 'vitest';
import { delta, named } from '../../../test/support/remote-world.ts';
import { localNameOf, reconcileLocal } from './reconcile-local.ts';

const LAYERS = [0, 1, 2, 3].map((number) => named(delta(number, 1 + number)));
const INDEX = new Map(LAYERS.map((layer) => [layer.name, layer]));
const file = (number: number, sizeBytes = 1000) => ({ name: localNameOf(LAYERS[number]!), sizeBytes });

test('IX-02: local layers that the index does not name are removed, whatever else is here', () => {
  const beyond = { name: localNameOf(named(delta(9, 4))), sizeBytes: 1000 };
  const plan = reconcileLocal(
    [file(0), beyond, file(2), { name: `${file(1).name}.temporary`, sizeBytes: 3 }],
    INDEX,
  );
  expect(plan).toEqual({
    present: [LAYERS[0], LAYERS[2]],
    remoteOnly: [LAYERS[1], LAYERS[3]],
    remove: [beyond.name, `${file(1).name}.temporary`],
    unknown: [],
  });
});

test('IX-03: a file of another size or generation than the index says is not its layer', () => {
  const other = { name: localNameOf({ ...LAYERS[1]!, generation: 7 }), sizeBytes: 1000 };
  const plan = reconcileLocal([file(0, 999), other], INDEX);
  expect(plan.present).toEqual([]);
  expect(plan.remoteOnly).toEqual(LAYERS);
  expect(plan.remove).toEqual([file(0).name, other.name]);
});

test('IX-03: with no local file at all, everything is there to be fetched', () => {
  expect(reconcileLocal([], INDEX)).toEqual({ present: [], remoteOnly: LAYERS, remove: [], unknown: [] });
});

test('IX-05: of a timeline that has no index yet, nothing local counts', () => {
  const plan = reconcileLocal([file(0), file(1)], new Map());
  expect(plan).toEqual({ present: [], remoteOnly: [], remove: [file(0).name, file(1).name], unknown: [] });
});

test('IX-09: a layer is looked for under its own generation, not that of the node', () => {
  expect(file(2).name).toBe(`${LAYERS[2]!.name}-v1-00000003`);
});

test('names that say nothing are left to who knows them', () => {
  expect(reconcileLocal([{ name: 'config', sizeBytes: 1 }], INDEX).unknown).toEqual(['config']);
});
