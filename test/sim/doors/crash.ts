import type { CrashMoment, DoorIncarnation } from './world.ts';

/** A promise that never settles: what a dead process waits for. One for each call, or all waiters would be kept. */
export const never = <Result>(): Promise<Result> => new Promise(() => undefined);

/** Crashes the node before, within or after an effect on its disk. */
export function crashWithin(incarnation: DoorIncarnation, moment: CrashMoment, action: () => void): void {
  if (moment !== 'before') {
    try {
      action();
    } catch {
      // Whoever asked is dead before it could hear that it was refused.
    }
  }
  incarnation.node.crashAsPlanned();
}
