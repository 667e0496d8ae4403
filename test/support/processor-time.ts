import { readFileSync } from 'node:fs';

/** How long it took, but for the time in which others had the processors: other processes, or other machines of the same host. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now() - starvedMs();
  await action();
  return performance.now() - starvedMs() - startMs;
}

/** How long this thread has been ready to run, and has not run. */
function starvedMs(): number {
  return waitedMs() + stolenMs();
}

/** For a processor that another thread had: proc_pid_schedstat(5). */
function waitedMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[1]) / 1e6;
}

const TICKS_PER_SECOND = 100;

/** What the host took from all processors of this machine, the eighth number of proc_stat(5): at least what this thread lost. */
function stolenMs(): number {
  const [all = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
  const ticks = Number(all.trim().split(/\s+/)[8]);
  return (ticks * 1000) / TICKS_PER_SECOND;
}
