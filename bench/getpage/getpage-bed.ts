import { fileURLToPath } from 'node:url';
import { CommandProcess } from '../../test/support/command-process.ts';
import { NO_PAGE_CACHE } from '../engine/reads.ts';
import { NO_UPKEEP } from '../support/pageserver-bed.ts';
import type { HostCommands, OpenHost } from './host-messages.ts';
import type { LoadCommands, Target } from './load-messages.ts';

const HOST_MAIN: string = fileURLToPath(new URL('../getpage-host.ts', import.meta.url));
const LOAD_MAIN: string = fileURLToPath(new URL('../getpage-load.ts', import.meta.url));
const MEBIBYTE = 1024 * 1024;
const AMPLE_BYTES: number = 2048 * MEBIBYTE;

export type HostProcess = CommandProcess<HostCommands>;
export type LoadProcess = CommandProcess<LoadCommands>;

export const startHost = (): HostProcess => new CommandProcess<HostCommands>(HOST_MAIN);
export const startLoad = (): LoadProcess => new CommandProcess<LoadCommands>(LOAD_MAIN);

export interface BedOptions {
  /** Below it are the recordings. */
  readonly recordings: string;
  readonly segmentSizeMiB: number;
  readonly isQuick: boolean;
}

/** How a storage engine is opened for each question. */
export const OPEN = {
  /** All pages are in memory as they were made. */
  hot: (bed: BedOptions): OpenHost => ({
    ...bed,
    engine: 'portable',
    settings: { ...NO_UPKEEP, openLayerBytes: 4096 * MEBIBYTE },
    blockCacheBytes: AMPLE_BYTES,
    pageCacheBytes: 1024 * MEBIBYTE,
    isFlushed: true,
  }),
  /** All values are in memory, and no page: each is made when it is asked for. */
  redo: (bed: BedOptions): OpenHost => ({ ...OPEN.hot(bed), pageCacheBytes: NO_PAGE_CACHE }),
  /** Nothing is in memory but the roots and leaves of layers; the disk is read without the kernel's cache. */
  cold: (bed: BedOptions): OpenHost => ({
    ...bed,
    engine: 'direct',
    settings: {
      ...NO_UPKEEP,
      compactionThreshold: 2,
      openLayerBytes: 4096 * MEBIBYTE,
      targetBytes: 32 * MEBIBYTE,
    },
    blockCacheBytes: 4 * MEBIBYTE,
    pageCacheBytes: NO_PAGE_CACHE,
    isFlushed: true,
  }),
  /** As a service has it, but for layers that are frozen sooner, so that all that goes on goes on within a minute. */
  busy: (bed: BedOptions): OpenHost => ({
    ...bed,
    engine: 'direct',
    settings: { openLayerBytes: 32 * MEBIBYTE, targetBytes: 32 * MEBIBYTE },
    blockCacheBytes: 256 * MEBIBYTE,
    pageCacheBytes: 256 * MEBIBYTE,
    isFlushed: false,
  }),
} as const;

/** A page service and who asks it, each a process of its own. */
export interface GetpageBed extends AsyncDisposable {
  readonly host: HostProcess;
  readonly load: LoadProcess;
  readonly target: Target;
}

export async function openBed(options: OpenHost): Promise<GetpageBed> {
  const host = startHost();
  const load = startLoad();
  const close = async (): Promise<void> => {
    await load[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
  };
  try {
    return { host, load, target: await host.ask('open', options), [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
