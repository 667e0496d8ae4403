import { describe, expect, test } from 'vitest';
import type { Clock } from '../../src/io/clock.ts';
import type { World } from './world.ts';

export interface ClockWorld extends World {
  readonly clock: Clock;
}

/** What every side of the clock door does. */
export function describeClock(name: string, makeWorld: () => Promise<ClockWorld>): void {
  const check = (title: string, body: (clock: Clock) => Promise<void>): void => {
    test(title, async () => {
      await using world = await makeWorld();
      await world.run(() => body(world.clock));
    });
  };
  const passed = (clock: Clock, delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      clock.setTimer(delayMs, resolve);
    });

  describe(`${name}: clock`, () => {
    check('a timer calls back once, after at least its delay', async (clock) => {
      for (const delayMs of [-5, 0, 0.4, 1, 3.7, 20]) {
        const startMs = clock.monotonicMs();
        await passed(clock, delayMs);
        expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(delayMs);
      }
      let calls = 0;
      clock.setTimer(1, () => {
        calls++;
      });
      await passed(clock, 10);
      expect(calls).toBe(1);
    });

    check('no timer is early, wherever between two milliseconds it was set', async (clock) => {
      for (let i = 0; i < 100; i++) {
        const startMs = clock.monotonicMs();
        const delayMs = 1 + (i % 10) / 10;
        await passed(clock, delayMs);
        expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(delayMs);
      }
    });

    check('monotonic time goes on and never back', async (clock) => {
      let lastMs = clock.monotonicMs();
      for (let i = 0; i < 1000; i++) {
        const nowMs = clock.monotonicMs();
        expect(nowMs).toBeGreaterThanOrEqual(lastMs);
        lastMs = nowMs;
      }
      await passed(clock, 2);
      expect(clock.monotonicMs()).toBeGreaterThan(lastMs);
    });

    check('wall time is a time of day', async (clock) => {
      // 2020 to 2200: no seconds and no microseconds.
      expect(clock.wallMs()).toBeGreaterThan(1_577_836_800_000);
      expect(clock.wallMs()).toBeLessThan(7_258_118_400_000);
    });

    check('timers call back in the order in which they are due', async (clock) => {
      const order: number[] = [];
      const set = (delayMs: number): Promise<void> =>
        new Promise((resolve) => {
          clock.setTimer(delayMs, () => {
            order.push(delayMs);
            resolve();
          });
        });
      await Promise.all([set(60), set(5), set(30), set(0)]);
      expect(order).toEqual([0, 5, 30, 60]);
    });

    check('a timer never calls back within the call that sets it', async (clock) => {
      let isSet = false;
      await new Promise<void>((resolve) => {
        clock.setTimer(0, () => {
          expect(isSet).toBe(true);
          resolve();
        });
        isSet = true;
      });
    });

    check('a cancelled timer does not call back', async (clock) => {
      let calls = 0;
      const timer = clock.setTimer(1, () => {
        calls++;
      });
      timer.cancel();
      timer.cancel();
      await passed(clock, 10);
      expect(calls).toBe(0);
    });

    check('a timer may be cancelled in its own callback, and after it', async (clock) => {
      let calls = 0;
      const timer = clock.setTimer(1, () => {
        calls++;
        timer.cancel();
      });
      await passed(clock, 10);
      timer.cancel();
      expect(calls).toBe(1);
    });

    check('a timer of many days is not due at once', async (clock) => {
      let isDue = false;
      // Longer than 2^31 ms, which is where some clocks take fright.
      const timer = clock.setTimer(60 * 86_400_000, () => {
        isDue = true;
      });
      await passed(clock, 20);
      expect(isDue).toBe(false);
      timer.cancel();
    });

    check('yielding lets everything run that is ready', async (clock) => {
      const seen: string[] = [];
      const chain = (async () => {
        for (let i = 0; i < 20; i++) await Promise.resolve();
        seen.push('chain');
      })();
      await clock.yieldToOthers();
      seen.push('yielded');
      await chain;
      expect(seen).toEqual(['chain', 'yielded']);
    });

    // In a simulation this takes some time per turn, or such a loop would hold all timers up.
    check('loops that yield take turns, and timers come in between', async (clock) => {
      let isStopped = false;
      let turns = 0;
      const loop = async (): Promise<void> => {
        while (!isStopped) {
          turns++;
          await clock.yieldToOthers();
        }
      };
      const loops = [loop(), loop()];
      await passed(clock, 5);
      isStopped = true;
      await Promise.all(loops);
      expect(turns).toBeGreaterThanOrEqual(2);
    });
  });
}
