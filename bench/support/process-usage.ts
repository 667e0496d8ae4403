import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { processMs, threadMs } from './measure.ts';

/** What a process needs. */
export interface ProcessUsage {
  /** Of the thread that runs the event loop, since the start. */
  readonly loopCpuMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** Of buffers beside the heap. */
  readonly bufferBytes: number;
}

/** @param collects garbage is collected first */
export function readUsage(collects: boolean): ProcessUsage {
  if (collects) collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    loopCpuMs: threadMs(),
    cpuMs: processMs(),
    rssBytes: rss,
    heapBytes: heapUsed,
    bufferBytes: external,
  };
}

/** As `--expose-gc` does it. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
}
