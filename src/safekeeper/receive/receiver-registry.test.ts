import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { type ReceiverPlace, ReceiverRegistry } from './receiver-registry.ts';

describe('the registry of receivers', () => {
  test('SK-01: the first free place is taken, and there are never more places than receivers at once', () => {
    const random = new SeededRandom(1);
    const registry = new ReceiverRegistry();
    const live: ReceiverPlace[] = [];
    let peak = 0;
    for (let step = 0; step < 5000; step++) {
      if (live.length > 0 && random.below(2) === 0) live.splice(random.below(live.length), 1)[0]?.leave();
      else if (live.length < 20) live.push(registry.register(step));
      peak = Math.max(peak, live.length);
      expect(registry.count).toBe(live.length);
      expect(registry.placeCount).toBeLessThanOrEqual(peak);
    }
    expect(peak).toBe(20);
  });

  test('SK-01: a place that was left is given to the next one, and others keep theirs', () => {
    const registry = new ReceiverRegistry();
    const first = registry.register(1);
    registry.register(2);
    first.leave();
    registry.register(3);
    expect(registry.list().map(({ connectionId }) => connectionId)).toEqual([3, 2]);
    expect(registry.placeCount).toBe(2);
  });

  test('SK-02: leaving twice frees one place', () => {
    const registry = new ReceiverRegistry();
    const place = registry.register(1);
    registry.register(2);
    place.leave();
    place.leave();
    expect(registry.count).toBe(1);
    expect(() => place.setStatus('Streaming')).toThrow(/has left/);
  });

  test('SK-03: a watcher always ends at the true number of computes', () => {
    const registry = new ReceiverRegistry();
    const seen: number[] = [];
    using _watching = registry.watchComputes((computes) => seen.push(computes));
    const compute = registry.register(1);
    registry.register(null);
    const second = registry.register(2);
    compute.setStatus('Streaming');
    compute.leave();
    expect(seen.at(-1)).toBe(1);
    second.leave();
    expect(seen.at(-1)).toBe(0);
    expect(seen).toContain(2);
  });

  test('SK-04: the gauge is the sum of all registries after any order of comings and goings', () => {
    const random = new SeededRandom(2);
    let gauge = 0;
    const registries = Array.from({ length: 5 }, () => new ReceiverRegistry((change) => (gauge += change)));
    const live: ReceiverPlace[] = [];
    for (let step = 0; step < 10_000; step++) {
      if (live.length > 0 && random.below(2) === 0) live.splice(random.below(live.length), 1)[0]?.leave();
      else live.push((registries[random.below(5)] as ReceiverRegistry).register(step));
      expect(gauge).toBe(live.length);
    }
    for (const place of live) place.leave();
    expect(gauge).toBe(0);
  });

  test('SK-05: a compute votes, then streams; a recovery is never counted as a compute', () => {
    const registry = new ReceiverRegistry();
    const recovery = registry.register(null);
    recovery.setStatus('Streaming');
    const compute = registry.register(7);
    expect(registry.list()).toEqual([
      { connectionId: null, status: 'Streaming' },
      { connectionId: 7, status: 'Voting' },
    ]);
    expect([registry.computes, registry.streamingComputes]).toEqual([1, 0]);
    compute.setStatus('Streaming');
    expect([registry.computes, registry.streamingComputes]).toEqual([1, 1]);
    compute.leave();
    expect([registry.computes, registry.streamingComputes, registry.count]).toEqual([0, 0, 1]);
  });
});
