import { readFileSync } from 'node:fs';

/** How long it took, but for the time in which other processes had the processors that this thread waited for. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now() - starvedMs();
  await action();
  return performance.now() - starvedMs() - startMs;
}

/** How long this thread has been ready to run, and has not run (proc_pid_schedstat(5)). */
function starvedMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;
}
