import { VarveError } from '../../src/base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import { InlineWorkers } from '../../src/io/inline-workers.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import { type Logger, silentLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { jobs } from '../../src/pageserver/jobs.ts';
import { PageStorage, type StorageOptions } from '../../src/pageserver/storage.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { Kernel } from '../sim/kernel.ts';
import type { SimNode } from '../sim/kernel-node.ts';
import { AttachmentService } from '../support/attachment-service.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { UnreliableObjects } from '../support/unreliable-objects.ts';
import { AuditedObjects } from './audited-objects.ts';
import { CLUSTER_DIRECTORIES, writeCluster } from './model-cluster.ts';
import { beginModel } from './model-records.ts';
import { ModelTimeline } from './model-timeline.ts';

export const TENANT: TenantId = parseTenantId('1'.repeat(32));
export const MAIN: TimelineId = parseTimelineId('2'.repeat(32));
export const timelineIdOf = (number: number): TimelineId =>
  parseTimelineId((0x20 + number).toString(16).padStart(32, '0'));

/** What becomes of requests to the bucket. `stuck`: nothing, until it works again. */
export type ObjectsMode = 'work' | 'slow' | 'flaky' | 'stuck';

/** Says that the node has crashed before what was asked for was over. */
export const CRASHED: unique symbol = Symbol('crashed');
export type Outcome<Result> = Result | typeof CRASHED;

const DATA = '/data';
const CLUSTER = '/cluster';
/** After this long all that fails and is stuck heals; what is not over long after that hangs. */
const HEALS_AFTER_US = 40e6;
const HANGS_AFTER_US = 3600e6;

/** What all nodes of a test share: time, the bucket, and who gives generations. */
export class EngineCloud {
  readonly kernel: Kernel;
  readonly bucket: AuditedObjects;
  readonly attachments = new AttachmentService();

  constructor(seed: number) {
    this.kernel = new Kernel(seed);
    const wallMs = (): number => this.kernel.nowUs / 1000;
    const clock = { wallMs } as ConstructorParameters<typeof AuditedObjects>[0];
    this.bucket = new AuditedObjects(clock, (error) => this.kernel.fail(error));
  }
}

/** A pageserver's storage engine on a simulated machine, which may crash at any moment and is started again. */
export class EngineWorld {
  readonly cloud: EngineCloud;
  readonly node: SimNode;
  readonly options: Omit<StorageOptions, 'directory'>;
  readonly objects: UnreliableObjects;
  logger: Logger = silentLogger;
  mode: ObjectsMode = 'work';
  readonly #number: number;
  readonly #random: SeededRandom;
  #storage: PageStorage | undefined;
  #onHealed: (() => void)[] = [];
  #onCrash: ((outcome: typeof CRASHED) => void) | undefined;
  readonly #intakes = new Map<TimelineId, TimelineIntake>();

  constructor(cloud: EngineCloud, number: number, options: Omit<StorageOptions, 'directory'>) {
    this.cloud = cloud;
    this.#number = number;
    this.options = options;
    this.#random = cloud.kernel.random.fork();
    this.node = cloud.kernel.addNode(`pageserver-${number}`);
    this.node.onCrash = () => {
      this.#storage = undefined;
      this.#intakes.clear();
      this.#onCrash?.(CRASHED);
    };
    this.objects = new UnreliableObjects(this.#answering(cloud.bucket));
    this.objects.before = () => this.#travel();
    this.objects.fate = () => {
      if (this.mode !== 'flaky' || !this.#random.chance(0.3)) return 'work';
      return this.#random.chance(0.5) ? 'fail' : 'lose';
    };
    this.#provideDirectories();
  }

  get isRunning(): boolean {
    return this.#storage !== undefined;
  }

  get storage(): PageStorage {
    if (this.#storage === undefined) throw new Error('the storage is stopped');
    return this.#storage;
  }

  get tenant(): Tenant {
    return this.storage.tenant(TENANT);
  }

  find(id: TimelineId): ActiveTimeline | undefined {
    return this.tenant.timelines.find(({ timeline }) => timeline.timelineId === id);
  }

  /** Whether what is asked of the engine may fail for now. */
  get isTroubled(): boolean {
    return (
      this.mode !== 'work' || Object.values(this.node.disk.faults.failChance).some((chance) => chance > 0)
    );
  }

  setMode(mode: ObjectsMode): void {
    this.mode = mode;
    if (mode === 'stuck') return;
    for (const resolve of this.#onHealed.splice(0)) resolve();
  }

  heal(): void {
    this.setMode('work');
    this.node.disk.faults.heal();
    this.node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  }

  /** Does something of the node's. What hangs for long is an error. */
  async attempt<Result>(action: () => Promise<Result>): Promise<Outcome<Result>> {
    const { kernel } = this.cloud;
    const healing = kernel.after(undefined, HEALS_AFTER_US, () => this.heal());
    const hanging = kernel.after(undefined, HANGS_AFTER_US, () =>
      kernel.fail(new Error('something hangs for ever')),
    );
    const crash = new Promise<typeof CRASHED>((resolve) => {
      this.#onCrash = resolve;
    });
    try {
      return await kernel.perform(() => Promise.race([action(), crash]));
    } finally {
      this.#onCrash = undefined;
      healing.action = undefined;
      hanging.action = undefined;
    }
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await this.cloud.kernel.run({ untilMs: this.cloud.kernel.nowUs / 1000 + ms });
  }

  /** Starts the storage from what is on the disk and in the bucket; again, where it crashes in between. */
  async start(): Promise<void> {
    while (this.#storage === undefined) {
      if (!this.node.isAlive) this.node.start(() => undefined);
      const outcome = await this.attempt(() => this.#open());
      if (outcome !== CRASHED) this.#storage = outcome;
    }
  }

  async #open(): Promise<PageStorage> {
    const doors = this.#doors();
    const objects = this.objects;
    for (;;) {
      try {
        const storage = await PageStorage.open(
          {
            ...this.options,
            // Leases of an earlier life are the matter of tests of their own.
            settings: { leaseMs: 0, ...this.options.settings },
            directory: DATA,
          },
          {
            ...doors,
            objects,
            logger: this.logger,
            metrics: new Metrics(doors.clock),
            workers: new InlineWorkers(jobs, doors),
            generations: this.cloud.attachments.forNode(this.#number),
          },
        );
        await storage.loaded;
        return storage;
      } catch (error) {
        if (!(error instanceof VarveError) || error.kind !== 'unavailable' || !this.isTroubled) throw error;
        this.heal();
      }
    }
  }

  /** Ends the storage as a service that is stopped does. */
  async stop(): Promise<void> {
    const storage = this.#storage;
    if (storage === undefined) return;
    if (this.mode === 'stuck') this.heal();
    const outcome = await this.attempt(() => storage.close());
    if (outcome === CRASHED) return;
    this.node.crash({ kind: 'kill' });
  }

  /** The disk is replaced by an empty one. */
  wipe(): void {
    this.node.crash({ kind: 'kill' });
    this.node.disk.removeDirectory(DATA);
    this.#provideDirectories();
  }

  /** Makes a file below the data directory, as if it had always been there. The storage is not running. */
  async litter(path: string, content: Uint8Array): Promise<void> {
    this.node.disk.faults.heal();
    const incarnation = this.node.start(() => undefined);
    const { files } = incarnation.doors;
    await this.cloud.kernel.perform(async () => {
      const directory = `${DATA}/${path.slice(0, path.lastIndexOf('/'))}`;
      await files.makeDirectory(directory);
      const file = await files.openForUpdate(`${DATA}/${path}`);
      await file.resize(0);
      await file.write(content, 0, content.length, 0);
      await file.close();
    });
    this.node.crash({ kind: 'kill' });
  }

  /** Local files of a timeline. */
  async localFiles(id: TimelineId): Promise<string[]> {
    const { files } = this.#doors();
    const directory = `${DATA}/tenants/${TENANT}/${id}`;
    return (await this.attempt(() => files.list(directory))) as string[];
  }

  /** The first timeline, of a cluster whose files are on the disk. */
  async createMain(): Promise<Outcome<ModelTimeline>> {
    const { files } = this.#doors();
    const outcome = await this.attempt(async () => {
      await writeCluster(files, CLUSTER);
      const tenant = await this.storage.attach(TENANT);
      await tenant.createTimeline(MAIN, { files, directory: CLUSTER, version: POSTGRES_17 });
    });
    if (outcome === CRASHED) return CRASHED;
    const model = new ModelTimeline(MAIN);
    beginModel(model);
    return model;
  }

  /** Timelines were loaded anew: each begins with its WAL where it then is. */
  forgetIntakes(): void {
    this.#intakes.clear();
  }

  /** Brings a timeline all WAL that its model has. To be called from within `attempt`. */
  async feed(model: ModelTimeline, pieceBytes: () => number = () => 65_536): Promise<void> {
    const active = this.tenant.timeline(model.id);
    let intake = this.#intakes.get(model.id);
    if (intake === undefined) {
      intake = await TimelineIntake.start(active.timeline);
      this.#intakes.set(model.id, intake);
    }
    while (intake.position < model.walEnd) {
      const wal = model.walFrom(intake.position);
      await intake.take(wal.slice(0, Math.min(wal.length, pieceBytes())));
    }
  }

  #doors() {
    const { incarnation } = this.node;
    if (incarnation === undefined) throw new Error('the machine is off');
    return incarnation.doors;
  }

  #provideDirectories(): void {
    this.node.disk.provideDirectory(DATA);
    for (const name of CLUSTER_DIRECTORIES) this.node.disk.provideDirectory(`${CLUSTER}/${name}`);
  }

  /** The bucket, whose answers to changes take time: a node may die when they are made and it has not heard of it. */
  #answering(bucket: ObjectStore): ObjectStore {
    return {
      description: bucket.description,
      put: async (...request) => {
        await bucket.put(...request);
        await this.#travel();
      },
      remove: async (...request) => {
        await bucket.remove(...request);
        await this.#travel();
      },
      get: (...request) => bucket.get(...request),
      getStream: (...request) => bucket.getStream(...request),
      head: (...request) => bucket.head(...request),
      list: (...request) => bucket.list(...request),
      close: () => undefined,
    };
  }

  /** A request, or its answer, is under way. For the dead it never arrives. */
  async #travel(): Promise<void> {
    const { kernel } = this.cloud;
    const { incarnation } = this.node;
    const ms = this.mode === 'slow' ? 20 + this.#random.below(3000) : this.#random.below(20);
    await new Promise<void>((resolve) => kernel.after(incarnation, ms * 1000, resolve));
    while (this.mode === 'stuck') await new Promise<void>((resolve) => this.#onHealed.push(resolve));
    if (incarnation?.isAlive !== true) await new Promise<never>(() => undefined);
  }
}
