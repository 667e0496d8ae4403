import { GCProfiler } from 'node:v8';

/** The middle of repeated measurements, and how far they spread. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly repeats: number;
}

export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('nothing was measured');
  const sorted = [...values].sort((left, right) => left - right);
  const at = (part: number): number => sorted[Math.round(part * (sorted.length - 1))] as number;
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), repeats: sorted.length };
}

/**
 * Processor time that this thread has used, in milliseconds: what other processes take from the core does not count.
 */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Processor time of all threads of the process, in milliseconds. */
export function processMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export interface RepeatOptions {
  /** Go on until this much time has been measured. */
  readonly seconds: number;
  readonly repeatsMin: number;
  readonly warmUps: number;
}

/** The kernel counts a thread's time in ticks of up to 10 ms; a sample has many. */
const SAMPLE_MS = 250;

/**
 * Calls `pass`, which returns how many milliseconds it measured, as often as the options say. One sample is the mean
 * of as many calls as it takes to outweigh the clock's ticks.
 */
export function repeat(options: RepeatOptions, pass: () => number): Spread {
  for (let warmUp = 0; warmUp < options.warmUps; warmUp++) pass();
  const samples: number[] = [];
  let totalMs = 0;
  while (samples.length < options.repeatsMin || totalMs < options.seconds * 1000) {
    let sampleMs = 0;
    let passes = 0;
    for (; sampleMs < SAMPLE_MS; passes++) sampleMs += pass();
    samples.push(sampleMs / passes);
    totalMs += sampleMs;
  }
  return spreadOf(samples);
}

export interface Allocation {
  /** Bytes taken from the JavaScript heap. */
  readonly bytes: number;
  readonly collections: number;
}

/**
 * What `pass` allocates on the JavaScript heap: how much the heap grows between one collection and the next, added
 * up. Buffers outside of the heap do not count.
 */
export function measureAllocation(pass: () => void): Allocation {
  const profiler = new GCProfiler();
  profiler.start();
  const before = process.memoryUsage().heapUsed;
  pass();
  const after = process.memoryUsage().heapUsed;
  const { statistics } = profiler.stop();
  let used = before;
  let bytes = 0;
  for (const collection of statistics) {
    bytes += collection.beforeGC.heapStatistics.usedHeapSize - used;
    used = collection.afterGC.heapStatistics.usedHeapSize;
  }
  return { bytes: Math.max(0, bytes + after - used), collections: statistics.length };
}
