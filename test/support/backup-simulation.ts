/** A timeline with its upkeep on a simulated machine, and a bucket in memory that can be watched and made to fail. */
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { MemoryObjects } from '../../src/io/memory-objects.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import { BucketReader } from '../../src/safekeeper/backup/bucket-reader.ts';
import type { UpkeepSettings } from '../../src/safekeeper/upkeep/settings.ts';
import { Kernel } from '../sim/kernel.ts';
import type { SimDoors, SimNode } from '../sim/kernel-node.ts';
import { BackupWorld, type BackupWorldDoors, START, TENANT, TIMELINE, WAL } from './backup-world.ts';

export const MINUTE_MS = 60_000;
export const SETTINGS: Partial<UpkeepSettings> = {
  partialBackupTimeoutMs: MINUTE_MS,
  evictionMinResidentMs: 2 * MINUTE_MS,
  controlFileSaveIntervalMs: 5 * MINUTE_MS,
  idleTimeoutMs: MINUTE_MS / 2,
};
export const PREFIX: string = `${TENANT}/${TIMELINE}/`;
export const DIRECTORY = '/safekeeper';
/** Is never given. */
export const never: AbortSignal = new AbortController().signal;

/** A bucket, what was asked of it, and what may come in between. */
export class WatchedObjects implements ObjectStore {
  readonly description = 'memory';
  readonly requests: string[] = [];
  before: (request: string) => Promise<void> = async () => undefined;
  readonly store: MemoryObjects;

  constructor(store: MemoryObjects) {
    this.store = store;
  }

  async put(...args: Parameters<ObjectStore['put']>): Promise<void> {
    await this.#note(`put ${args[0]}`);
    await this.store.put(...args);
    await this.before('after a put');
  }

  async get(...args: Parameters<ObjectStore['get']>): Promise<Uint8Array> {
    await this.#note(`get ${args[0]}`);
    return await this.store.get(...args);
  }

  async *getStream(...args: Parameters<ObjectStore['getStream']>): AsyncIterable<Uint8Array> {
    await this.#note(`get ${args[0]}`);
    yield* this.store.getStream(...args);
  }

  async head(...args: Parameters<ObjectStore['head']>): ReturnType<ObjectStore['head']> {
    await this.#note(`head ${args[0]}`);
    return await this.store.head(...args);
  }

  list(...args: Parameters<ObjectStore['list']>): ReturnType<ObjectStore['list']> {
    return this.store.list(...args);
  }

  async remove(...args: Parameters<ObjectStore['remove']>): Promise<void> {
    await this.#note(`remove ${args[0].join(' ')}`);
    await this.store.remove(...args);
    await this.before('after a removal');
  }

  close(): void {
    this.store.close();
  }

  async keys(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.store.list('', never)) keys.push(key);
    return keys;
  }

  async #note(request: string): Promise<void> {
    this.requests.push(request);
    await this.before(request);
  }
}

export interface Simulation {
  readonly kernel: Kernel;
  readonly node: SimNode;
  readonly objects: WatchedObjects;
  readonly doors: SimDoors;
  /** Lets so much time pass. */
  pass(minutes: number): Promise<void>;
  open(changes?: Partial<BackupWorldDoors>): Promise<BackupWorld>;
}

/** One node, a bucket, and time that passes when it is told to. */
export function simulate(): Simulation {
  const kernel = new Kernel(5);
  const node = kernel.addNode('safekeeper');
  node.disk.provideDirectory(DIRECTORY);
  const { doors } = node.start(() => undefined);
  const objects = new WatchedObjects(new MemoryObjects(doors.clock));
  return {
    kernel,
    node,
    objects,
    doors,
    pass: async (minutes) => void (await kernel.run({ untilMs: kernel.nowUs / 1000 + minutes * MINUTE_MS })),
    open: (changes) =>
      kernel.perform(() =>
        BackupWorld.open({ ...doors, directory: DIRECTORY, objects, settings: SETTINGS, ...changes }),
      ),
  };
}

/** What a reader gets of the timeline, from its start to its flush LSN. */
export async function readAll(
  world: BackupWorld,
  objects: ObjectStore,
  from: Lsn = START,
): Promise<Uint8Array> {
  using resident = await world.timeline.stay('wal');
  const reader = new BucketReader(objects, never);
  const bytes = new Uint8Array(resident.acceptor.acceptor.flushLsn - from);
  for (let at = 0; at < bytes.length; ) {
    at += await reader.read(resident, bytes, at, Math.min(100_000, bytes.length - at), toLsn(from + at));
  }
  return bytes;
}

/** Whether this is how the timeline's WAL begins. */
export const isWal = (bytes: Uint8Array): boolean =>
  Buffer.compare(bytes, WAL.bytes.subarray(0, bytes.length)) === 0;
export const segmentFiles = async (
  { doors: { files }, kernel }: Simulation,
  world: BackupWorld,
): Promise<string[]> =>
  (await kernel.perform(() => files.list(world.timeline.directory))).filter((name) =>
    /^[0-9A-F]{24}/.test(name),
  );
