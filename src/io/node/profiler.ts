import { Session } from 'node:inspector/promises';
import { VarveError } from '../../base/errors.ts';
import { throwIfCancelled } from '../cancelled.ts';
import type { Profiler } from '../profiler.ts';
import { pause } from '../retry-delay.ts';
import { nodeClock } from './clock.ts';

const CPU_INTERVAL_MICROS = 1000;
const HEAP_INTERVAL_BYTES = 64 * 1024;

/** The real side of the profiler door: V8's own, asked from within. No port is opened. */
export class NodeProfiler implements Profiler {
  #isRunning = false;

  cpu(durationMs: number, signal: AbortSignal): Promise<string> {
    return this.#profile(async (session) => {
      await session.post('Profiler.enable');
      await session.post('Profiler.setSamplingInterval', { interval: CPU_INTERVAL_MICROS });
      await session.post('Profiler.start');
      await wait(durationMs, signal);
      return JSON.stringify((await session.post('Profiler.stop')).profile);
    });
  }

  heap(durationMs: number, signal: AbortSignal): Promise<string> {
    return this.#profile(async (session) => {
      await session.post('HeapProfiler.startSampling', { samplingInterval: HEAP_INTERVAL_BYTES });
      await wait(durationMs, signal);
      return JSON.stringify((await session.post('HeapProfiler.stopSampling')).profile);
    });
  }

  async #profile(take: (session: Session) => Promise<string>): Promise<string> {
    if (this.#isRunning) {
      throw new VarveError('conflict', 'PROFILE_RUNNING', 'a profile is being taken already');
    }
    this.#isRunning = true;
    const session = new Session();
    session.connect();
    try {
      return await take(session);
    } finally {
      // What has been started ends with it.
      session.disconnect();
      this.#isRunning = false;
    }
  }
}

async function wait(durationMs: number, signal: AbortSignal): Promise<void> {
  await pause(nodeClock, durationMs, signal);
  throwIfCancelled(signal);
}
