import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Spread, spreadOf } from '../support/measure.ts';
import { formatNumber, formatTable } from '../support/table.ts';
import type { WalToPush } from './host-messages.ts';
import { HostProcess } from './host-process.ts';
import { writePlainly } from './plain-write.ts';

export interface AppendsOptions {
  readonly totalBytes: number;
  readonly repeats: number;
}

export interface AppendsResult {
  readonly name: string;
  readonly bytes: number;
  readonly megabytesPerS: Spread;
  /** The same bytes with as many syncs, written plainly right before and after. */
  readonly plainMegabytesPerS: Spread;
  readonly syncsPerMegabyte: number;
  /** Processor time of all threads for each megabyte; where the client is in the process, with the client's. */
  readonly cpuMsPerMegabyte: number;
  readonly loopCpuMsPerMegabyte: number;
}

const KINDS: readonly { readonly name: string; readonly recordBytes: number }[] = [
  { name: '8 KiB records', recordBytes: 8192 },
  { name: '100-byte records', recordBytes: 100 },
];

/** 128 KiB appends to one safekeeper, as fast as it takes them. */
export async function measureAppends(
  directory: string,
  { totalBytes, repeats }: AppendsOptions,
): Promise<AppendsResult[]> {
  await mkdir(directory, { recursive: true });
  const results: AppendsResult[] = [];
  for (const { name, recordBytes } of KINDS) {
    const wal = { totalBytes, recordBytes };
    for (const isAlone of [true, false]) {
      await using safekeeper = new HostProcess();
      await using client = isAlone ? new HostProcess() : undefined;
      const place = { nodeId: results.length + 1, directory: join(directory, `appends-${results.length}`) };
      const { port } = await safekeeper.ask('startSafekeeper', { ...place, sync: 'real' });
      const title = `${name}, ${isAlone ? 'a process of its own' : 'with its client'}`;
      results.push(
        await measure(title, directory, wal, repeats, {
          safekeeper,
          client: client ?? safekeeper,
          port,
        }),
      );
    }
  }
  return results;
}

interface Sides {
  readonly safekeeper: HostProcess;
  readonly client: HostProcess;
  readonly port: number;
}

async function measure(
  name: string,
  directory: string,
  wal: WalToPush,
  repeats: number,
  { safekeeper, client, port }: Sides,
): Promise<AppendsResult> {
  const rates: number[] = [];
  const plainRates: number[] = [];
  let bytes = 0;
  let syncs = 0;
  let cpuMs = 0;
  let loopCpuMs = 0;
  // The first one warms up.
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const timelineId = (repeat + 1).toString(16).padStart(32, '0');
    const before = await safekeeper.ask('usage', { collects: false });
    const pushed = await client.ask('push', { port, tenantId: '1'.padStart(32, '0'), timelineId, wal });
    const after = await safekeeper.ask('usage', { collects: false });
    const pushSyncs = after.syncs - before.syncs;
    const plainMs = writePlainly(directory, pushed.bytes, pushSyncs);
    if (repeat === 0) continue;
    bytes += pushed.bytes;
    syncs += pushSyncs;
    cpuMs += after.cpuMs - before.cpuMs;
    loopCpuMs += after.loopCpuMs - before.loopCpuMs;
    rates.push(pushed.bytes / 1000 / pushed.ms);
    plainRates.push(pushed.bytes / 1000 / plainMs);
  }
  const megabytes = bytes / 1e6;
  return {
    name,
    bytes: bytes / repeats,
    megabytesPerS: spreadOf(rates),
    plainMegabytesPerS: spreadOf(plainRates),
    syncsPerMegabyte: syncs / megabytes,
    cpuMsPerMegabyte: cpuMs / megabytes,
    loopCpuMsPerMegabyte: loopCpuMs / megabytes,
  };
}

/**
 * How often a byte of an append of 128 KiB is copied in the safekeeper's own memory, derived from its code: once by
 * the cutter, since a message of that length comes in several chunks of the socket, and once by the reader of WAL,
 * which takes the page headers out. The kernel copies it twice, out of the socket and into the file.
 */
const COPIES =
  'copies of a WAL byte: 2 in the safekeeper (message put together, records freed of page headers) + 2 in the kernel (socket, file)';

export function formatAppends(results: readonly AppendsResult[]): string {
  const rows = results.map((result) => [
    result.name,
    formatNumber(result.bytes / 1e6),
    formatNumber(result.megabytesPerS.median),
    formatNumber(result.megabytesPerS.p10),
    formatNumber(result.megabytesPerS.p90),
    formatNumber(result.plainMegabytesPerS.median),
    formatNumber(result.megabytesPerS.median / result.plainMegabytesPerS.median),
    formatNumber(result.syncsPerMegabyte),
    formatNumber(result.cpuMsPerMegabyte),
    formatNumber(1000 / result.loopCpuMsPerMegabyte),
  ]);
  const header = ['appends of 128 KiB to one safekeeper', 'MB', 'MB/s', 'p10', 'p90', 'plain MB/s', 'ratio'];
  const table = formatTable([...header, 'syncs/MB', 'CPU ms/MB', 'MB per loop CPU s'], rows);
  return `${table}\n${COPIES}`;
}
