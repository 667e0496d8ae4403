import { type BedOptions, OPEN, openBed } from './getpage-bed.ts';
import type { LoadResult } from './load-messages.ts';

/** Reads while WAL is taken in as fast as it goes, on the same event loop. */
export interface BusyResult {
  readonly depth: number;
  /** Nothing is taken in. */
  readonly calm: LoadResult;
  readonly busy: LoadResult;
  readonly ingestMegabytesPerS: number;
}

const PAGES_MAX = 20_000;
const WARM_UP_MS = 500;
const CALM_MS_MAX = 5000;
/** Someone who waits for each page; and someone who asks ahead. */
const DEPTHS: readonly number[] = [1, 8];

/** @param seconds how long there is ingest, for all depths together */
export async function measureBusy(options: BedOptions, seconds: number): Promise<BusyResult[]> {
  await using bed = await openBed(OPEN.busy(options));
  const { host, load, target } = bed;
  const { pages, lsn } = await host.ask('pick', { kind: 'any', pagesMax: PAGES_MAX });
  const measuredMs = (seconds * 1000) / DEPTHS.length;
  const results: BusyResult[] = [];
  for (const depth of DEPTHS) {
    const request = {
      ...target,
      pages,
      lsn,
      connections: 1,
      depth,
      warmUpMs: Math.min(WARM_UP_MS, measuredMs),
    };
    const calm = await load.ask('run', { ...request, measuredMs: Math.min(CALM_MS_MAX, measuredMs) });
    await host.ask('startIngest', undefined);
    const busy = await load.ask('run', { ...request, measuredMs });
    const { bytes, ms } = await host.ask('stopIngest', undefined);
    results.push({ depth, calm, busy, ingestMegabytesPerS: bytes / 1000 / ms });
  }
  return results;
}
