import { describe, expect, test } from 'vitest';
import { delta, endOf, HEAD, named, START } from '../../../test/support/remote-world.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { toLsn } from '../../base/lsn.ts';
import type { IndexHead, IndexLayer } from './timeline-index.ts';
import { type PlannedIndex, UploadPlan } from './upload-plan.ts';

const keyOf = ({ name, generation }: IndexLayer): string => `${name}-${generation}`;
const hasCode = (code: string): unknown => expect.objectContaining({ code });

interface StoredIndex {
  readonly head: IndexHead;
  readonly layers: readonly IndexLayer[];
}

/** A store, and what of it must always hold. */
class Store {
  readonly objects = new Set<string>();
  readonly removed = new Set<string>();
  index: StoredIndex | undefined;

  putLayer(layer: IndexLayer): void {
    if (this.isNamed(layer)) throw new Error(`${layer.name} is written over while the index names it`);
    this.objects.add(keyOf(layer));
  }

  putIndex({ head, layers }: PlannedIndex): void {
    for (const layer of layers) {
      if (!this.objects.has(keyOf(layer)))
        throw new Error(`an index names ${layer.name}, which is not there`);
    }
    if (this.index !== undefined && head.diskConsistentLsn < this.index.head.diskConsistentLsn) {
      throw new Error('an index goes back');
    }
    this.index = { head, layers };
  }

  isNamed(layer: IndexLayer): boolean {
    return this.index?.layers.some((other) => keyOf(other) === keyOf(layer)) === true;
  }

  /** As the deletion queue does it, at once. */
  remove(layers: readonly IndexLayer[]): void {
    for (const layer of layers) {
      if (this.isNamed(layer)) {
        throw new Error(`${layer.name} is removed while the index names it`);
      }
      this.objects.delete(keyOf(layer));
      this.removed.add(keyOf(layer));
    }
  }
}

/** A timeline that flushes, compacts, uploads and crashes, as a seed has it. */
class Walk {
  readonly random: SeededRandom;
  readonly store = new Store();
  readonly seen = new Map<string, number>();
  #plan: UploadPlan;
  #generation = 1;
  #number = 0;
  #uploading: IndexLayer[] = [];
  #putting: PlannedIndex | undefined;
  /** As the layer map has it: what reads and compaction see. */
  #visible: IndexLayer[] = [];
  #durableLsn: number = START;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#plan = new UploadPlan({ head: HEAD, layers: new Map() }, false, 1, 3);
  }

  step(): void {
    const draw = this.random.below(20);
    if (draw < 5) this.#flush();
    else if (draw < 7) this.#compact();
    else if (draw < 8) this.#collect();
    else if (draw < 9) this.#crash();
    else if (draw < 14) this.#beginUpload();
    else if (draw < 17) this.#finishUpload();
    else if (this.#putting === undefined) this.#putting = this.#plan.beginIndexPut();
    else this.#finishPut();
  }

  /** Everything goes well from here on. */
  settle(): void {
    while (!this.#plan.isSettled) {
      this.#beginUpload();
      this.#finishUpload();
      this.#putting ??= this.#plan.beginIndexPut();
      if (this.#putting !== undefined) this.#putNow(this.#putting);
    }
    const names = (layers: readonly IndexLayer[]): string[] => layers.map(keyOf).sort();
    if (this.#plan.scheduledVersion > 0) {
      expect(names(this.store.index?.layers ?? [])).toEqual(names(this.#visible));
      expect(this.store.index?.head).toEqual(this.#plan.intendedHead);
    }
  }

  #see(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  #schedule(layer: IndexLayer): void {
    // In one step, as it has to be: it is visible, and its upload is scheduled.
    this.#visible.push(layer);
    this.#plan.scheduleUpload(layer, `/${layer.name}`);
  }

  #flush(): void {
    const number = this.#number++;
    const layer = named(delta(number, this.#generation));
    this.#schedule(layer);
    this.#plan.scheduleChange({ layersAdded: [layer.name], diskConsistentLsn: endOf(number) });
  }

  #compact(): void {
    const count = Math.min(this.#visible.length, 1 + this.random.below(4));
    if (count === 0) return;
    const inputs = this.random.shuffle(this.#visible).slice(0, count);
    if (inputs.some(({ name }) => this.#plan.isUploading(name))) this.#see('compacted before its upload');
    const number = this.#number++;
    const image = { ...delta(number, this.#generation), kind: 'image' } as const;
    const outputs = [named({ ...image, lsnEnd: toLsn(image.lsnStart + 1) })];
    // A rerun after a crash makes layers of the same names, which have other keys.
    const again = inputs.find(({ generation }) => generation < this.#generation);
    if (again !== undefined && this.random.chance(0.5)) {
      outputs.push({ ...again, generation: this.#generation });
      this.#see('replaced');
    }
    this.#visible = this.#visible.filter((layer) => !inputs.includes(layer));
    for (const output of outputs) this.#schedule(output);
    const added = outputs.map(({ name }) => name);
    const removed = inputs.map(({ name }) => name).filter((name) => !added.includes(name));
    this.#plan.scheduleChange({ layersAdded: added, layersRemoved: removed });
  }

  #collect(): void {
    const layer = this.#visible[0];
    if (layer === undefined) return;
    this.#visible = this.#visible.slice(1);
    const { diskConsistentLsn } = this.#plan.intendedHead;
    this.#plan.scheduleChange({ layersRemoved: [layer.name], gcCutoffLsn: diskConsistentLsn });
  }

  #beginUpload(): void {
    const upload = this.#plan.beginUpload();
    if (upload !== undefined) this.#uploading.push(upload.layer);
  }

  #finishUpload(): void {
    if (this.#uploading.length === 0) return;
    const layer = this.random.pick(this.#uploading);
    this.store.putLayer(layer);
    if (this.random.chance(0.2)) {
      this.#see('an upload whose answer was lost');
      return;
    }
    this.#uploading = this.#uploading.filter((other) => other !== layer);
    this.#plan.finishUpload(layer.name);
  }

  #finishPut(): void {
    const putting = this.#putting as PlannedIndex;
    if (this.random.chance(0.3)) {
      // It failed; and it may have been put all the same.
      if (this.random.chance(0.5)) this.store.putIndex(putting);
      this.#see('an index whose answer was lost');
    } else this.#putNow(putting);
  }

  #putNow(putting: PlannedIndex): void {
    this.store.putIndex(putting);
    this.store.remove(this.#plan.finishIndexPut(putting));
    this.#putting = undefined;
    const lsn = this.#plan.durableHead?.diskConsistentLsn ?? 0;
    if (lsn < this.#durableLsn) throw new Error('what is durable goes back');
    this.#durableLsn = lsn;
    this.#see('an index');
  }

  /** A new attachment begins with what is in the store. */
  #crash(): void {
    this.#see('a crash');
    const { index } = this.store;
    if ((index?.head.diskConsistentLsn ?? START) < this.#durableLsn)
      throw new Error('what was durable is gone');
    const layers = index?.layers ?? [];
    this.#generation++;
    const start = { head: index?.head ?? HEAD, layers: new Map(layers.map((layer) => [layer.name, layer])) };
    this.#plan = new UploadPlan(start, index !== undefined, this.#generation, 3);
    this.#visible = [...layers];
    this.#uploading = [];
    this.#putting = undefined;
  }
}

test('IX-01: in any interleaving of flush and compaction the index names only what was uploaded (10 000 seeds)', () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 10_000; seed++) {
    const walk = new Walk(seed);
    try {
      for (let steps = 0; steps < 60; steps++) walk.step();
      walk.settle();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    for (const [what, count] of walk.seen) seen.set(what, (seen.get(what) ?? 0) + count);
  }
  for (const what of [
    'an index',
    'a crash',
    'replaced',
    'compacted before its upload',
    'an upload whose answer was lost',
    'an index whose answer was lost',
  ]) {
    expect(seen.get(what), what).toBeGreaterThan(1000);
  }
}, 60_000);

function planOf(uploadsAtOnce = 2): UploadPlan {
  return new UploadPlan({ head: HEAD, layers: new Map() }, false, 1, uploadsAtOnce);
}

function flush(plan: UploadPlan, number: number): string {
  const layer = named(delta(number, 1));
  plan.scheduleUpload(layer, `/${layer.name}`);
  plan.scheduleChange({ layersAdded: [layer.name], diskConsistentLsn: endOf(number) });
  return layer.name;
}

describe('the order of uploads', () => {
  test('an index waits for its layers and not for later ones', () => {
    const plan = planOf();
    const first = flush(plan, 0);
    expect(plan.beginIndexPut()).toBeUndefined();
    expect(plan.beginUpload()?.layer.name).toBe(first);
    flush(plan, 1);
    expect(plan.beginUpload()).toBeDefined();
    flush(plan, 2);
    expect(plan.beginUpload()).toBeUndefined();
    plan.finishUpload(first);
    const index = plan.beginIndexPut() as PlannedIndex;
    expect(index.layers.map(({ name }) => name)).toEqual([first]);
    expect(index.head.diskConsistentLsn).toBe(endOf(0));
    expect(plan.finishIndexPut(index)).toEqual([]);
    expect(plan.waitingLayers).toBe(2);
    expect(plan.isSettled).toBe(false);
  });

  test('changes that become ready while an index is put go into the next one together', () => {
    const plan = planOf(9);
    const names = [0, 1, 2].map((number) => flush(plan, number));
    for (const _ of names) plan.beginUpload();
    plan.finishUpload(names[0]!);
    const index = plan.beginIndexPut() as PlannedIndex;
    plan.finishUpload(names[2]!);
    plan.finishUpload(names[1]!);
    expect(plan.beginIndexPut()).toBeUndefined();
    plan.finishIndexPut(index);
    expect(plan.beginIndexPut()?.layers.map(({ name }) => name)).toEqual(names);
  });

  test('a removed layer is handed out when an index without it is durable', () => {
    const plan = planOf();
    const name = flush(plan, 0);
    plan.beginUpload();
    plan.finishUpload(name);
    const first = plan.beginIndexPut() as PlannedIndex;
    plan.scheduleChange({ layersRemoved: [name] });
    expect(plan.finishIndexPut(first)).toEqual([]);
    const second = plan.beginIndexPut() as PlannedIndex;
    expect(second.layers).toEqual([]);
    expect(plan.finishIndexPut(second).map((layer) => layer.name)).toEqual([name]);
    expect(plan.isSettled).toBe(true);
  });

  test('a layer that is removed before any index named it is handed out after its upload', () => {
    const plan = planOf();
    const layer = named(delta(0, 1));
    plan.scheduleUpload(layer, '/x');
    plan.scheduleChange({ layersRemoved: [layer.name] });
    // Its upload would come in after its removal.
    expect(plan.beginIndexPut()).toBeUndefined();
    plan.beginUpload();
    plan.finishUpload(layer.name);
    const index = plan.beginIndexPut() as PlannedIndex;
    expect(index.layers).toEqual([]);
    expect(plan.finishIndexPut(index)).toEqual([layer]);
  });

  test('IX-10: a name that this attachment has used is refused until its object has been handed out', () => {
    const plan = planOf();
    const layer = named(delta(0, 1));
    const name = flush(plan, 0);
    expect(() => plan.scheduleUpload(layer, '/x')).toThrow(hasCode('LAYER_EXISTS') as Error);
    plan.beginUpload();
    plan.finishUpload(name);
    plan.scheduleChange({ layersRemoved: [name] });
    expect(() => plan.scheduleUpload(layer, '/x')).toThrow(hasCode('LAYER_EXISTS') as Error);
    const index = plan.beginIndexPut() as PlannedIndex;
    expect(plan.finishIndexPut(index)).toEqual([layer]);
    plan.scheduleUpload(layer, '/x');
    expect(plan.isUploading(name)).toBe(true);
  });

  test('a layer of an earlier attachment is replaced under another key', () => {
    const old = named(delta(0, 1));
    const start = { head: HEAD, layers: new Map([[old.name, old]]) };
    const plan = new UploadPlan(start, true, 4, 1);
    const fresh = { ...old, generation: 4 };
    plan.scheduleUpload(fresh, '/x');
    plan.scheduleChange({ layersAdded: [old.name] });
    plan.beginUpload();
    plan.finishUpload(old.name);
    const index = plan.beginIndexPut() as PlannedIndex;
    expect(index.layers).toEqual([fresh]);
    expect(plan.finishIndexPut(index)).toEqual([old]);
  });

  test('what must not be is refused', () => {
    const plan = planOf();
    const { name } = named(delta(0, 1));
    expect(() => plan.scheduleChange({ layersAdded: [name] })).toThrow(/not scheduled/);
    expect(() => plan.scheduleChange({ layersRemoved: [name] })).toThrow(/not there/);
    expect(() => plan.scheduleUpload(named(delta(0, 2)), '/x')).toThrow(/generation 2/);
    expect(() => plan.finishUpload(name)).toThrow(/not begun/);
    flush(plan, 3);
    expect(() => plan.scheduleChange({ diskConsistentLsn: START })).toThrow(/go back/);
    expect(() => plan.scheduleChange({ gcCutoffLsn: toLsn(endOf(3) + 8) })).toThrow(/GC cutoff/);
  });

  test('IX-11: when the deletion is intended, nothing else is scheduled', () => {
    const plan = planOf();
    plan.scheduleChange({ deletedAtMs: 5 });
    expect(() => flush(plan, 0)).toThrow(hasCode('TIMELINE_DELETED') as Error);
    expect(() => plan.scheduleChange({})).toThrow(hasCode('TIMELINE_DELETED') as Error);
    expect(plan.beginIndexPut()?.head.deletedAtMs).toBe(5);
  });

  test('archiving is taken back', () => {
    const plan = planOf();
    plan.scheduleChange({ archivedAtMs: 5 });
    plan.scheduleChange({ gcCutoffLsn: START });
    expect(plan.intendedHead.archivedAtMs).toBe(5);
    plan.scheduleChange({ archivedAtMs: null });
    expect(plan.intendedHead.archivedAtMs).toBeUndefined();
  });
});
