import { type JobTable, resolveModule } from '../io/workers.ts';
import { flushOpenLayer } from './layers/flush-open-layer.ts';
import { compactDeltas } from './upkeep/compact-deltas.ts';
import { cutLayer } from './upkeep/cut-layer.ts';
import { makeImages } from './upkeep/make-images.ts';
import { rewriteBottom } from './upkeep/rewrite-bottom.ts';

/** The pageserver's heavy work, by name. What a worker thread imports: see src/io/workers.ts. */
export const jobs = { flushOpenLayer, compactDeltas, cutLayer, makeImages, rewriteBottom } satisfies JobTable;

export type PageserverJobs = typeof jobs;

/** URL of this module. */
export const PAGESERVER_JOBS: string = resolveModule('./jobs.ts', import.meta.url).href;
