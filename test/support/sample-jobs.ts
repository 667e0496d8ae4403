import { CorruptionError } from '../../src/base/errors.ts';
import type { JobContext } from '../../src/io/workers.ts';

const noValues = new Int32Array(new SharedArrayBuffer(4));

/** Jobs that behave well and badly, for tests of workers. */
export const jobs = {
  add: async ({ left, right }: { left: number; right: number }): Promise<number> => left + right,

  /** Counts the steps it takes in a shared Int32 until it is cancelled, and says in the next one when it has ended. */
  stepUntilCancelled: async (shared: SharedArrayBuffer, { step }: JobContext): Promise<void> => {
    const counts = new Int32Array(shared);
    try {
      for (;;) {
        await step();
        Atomics.add(counts, 0, 1);
        Atomics.notify(counts, 0);
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      Atomics.store(counts, 1, 1);
    }
  },

  /** Says that it runs, and never looks up again. */
  hang: async (shared: SharedArrayBuffer): Promise<never> => {
    Atomics.store(new Int32Array(shared), 0, 1);
    Atomics.notify(new Int32Array(shared), 0);
    for (;;) Atomics.wait(noValues, 0, 0, 1000);
  },

  exit: async (): Promise<never> => process.exit(3),

  raise: async (): Promise<never> => {
    setImmediate(() => {
      throw new Error('thrown where nobody waits');
    });
    return await new Promise(() => undefined);
  },

  fail: async ({ file }: { file: string }): Promise<never> => {
    const cause = new CorruptionError('INNER', 'the inner reason', { offset: 7 });
    throw new CorruptionError('OUTER', 'the outer reason', { file, lsn: 0x1_0000_0028 }, cause);
  },

  bug: async (): Promise<never> => {
    throw new TypeError('a bug');
  },

  returnFunction: async (): Promise<unknown> => () => undefined,

  sizeOf: async (path: string, { files }: JobContext): Promise<number> => (await files.stat(path)).sizeBytes,

  /** Burns the core that it runs on. */
  burn: async (milliseconds: number, { step }: JobContext): Promise<void> => {
    const end = Date.now() + milliseconds;
    while (Date.now() < end) await step();
  },
};
