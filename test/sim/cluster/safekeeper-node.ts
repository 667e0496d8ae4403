import { VarveError } from '../../../src/base/errors.ts';
import type { Lsn } from '../../../src/base/lsn.ts';
import { type Logger, silentLogger } from '../../../src/observe/log.ts';
import { Metrics } from '../../../src/observe/metrics.ts';
import { WalWorkspace } from '../../../src/postgres/wal/workspace.ts';
import type { Acceptor } from '../../../src/safekeeper/consensus/acceptor.ts';
import { SafekeeperMetrics } from '../../../src/safekeeper/metrics.ts';
import { Safekeeper } from '../../../src/safekeeper/safekeeper.ts';
import type { DurableAcceptor } from '../../../src/safekeeper/timeline/durable-acceptor.ts';
import type { Timeline } from '../../../src/safekeeper/timeline/timeline.ts';
import { WalDirectory } from '../../../src/safekeeper/wal/wal-directory.ts';
import { TEST_SEGMENT_BYTES } from '../../support/safekeeper-wal.ts';
import { SafetyViolation } from '../checkers/safety-violation.ts';
import type { WalPiece } from '../checkers/snapshots.ts';
import { DiskFile } from '../doors/disk-file.ts';
import type { Kernel } from '../kernel.ts';
import type { SimDoors, SimNode } from '../kernel-node.ts';
import {
  DATA_DIRECTORY,
  SAFEKEEPER_PORT,
  TENANT,
  TIMELINE,
  TIMELINE_DIRECTORY,
} from './timeline-identity.ts';

/** A start that the disk has failed is tried again. */
const RETRY_START_US = 20_000;

/** Made once: a process that simulates thousands of safekeepers needs only one of each. */
const metrics = new SafekeeperMetrics(
  new Metrics({
    monotonicMs: () => 0,
    wallMs: () => 0,
    setTimer: () => ({ cancel: () => undefined }),
    yieldToOthers: () => Promise.resolve(),
  }),
  () => [],
);
const workspace = new WalWorkspace();

/** What a disk may do to a safekeeper. Everything else that it ends with is a violation. */
export const isDiskTrouble = (error: unknown): boolean =>
  error instanceof VarveError && (error.kind === 'unavailable' || error.kind === 'cancelled');

/** One machine with the production safekeeper on it, which may crash at any time. */
export class SafekeeperNode {
  readonly id: number;
  readonly node: SimNode;
  safekeeper: Safekeeper | undefined;
  /** Called when a crash of any origin has come; what the process knew can still be seen. */
  onCrash: () => void = () => undefined;
  /** Called once, when it has followed a proposer that was elected. */
  onFollowed: (() => void) | undefined;
  readonly #kernel: Kernel;
  readonly #logger: Logger;
  #timeline: Timeline | undefined;

  constructor(kernel: Kernel, id: number) {
    this.id = id;
    this.#kernel = kernel;
    this.node = kernel.addNode(`sk${id}`);
    this.node.disk.provideDirectory(DATA_DIRECTORY);
    this.node.onCrash = () => {
      this.onCrash();
      this.safekeeper = undefined;
      this.#timeline = undefined;
    };
    this.#logger = watchingLogger(id, kernel);
  }

  /** Begins a life, unless it has one. */
  boot(): void {
    if (!this.node.isAlive) this.node.start((doors) => this.#main(doors));
  }

  get timeline(): Timeline | undefined {
    this.#timeline ??= this.safekeeper?.timelines.find(TENANT, TIMELINE);
    return this.#timeline;
  }

  get durable(): DurableAcceptor | undefined {
    return this.timeline?.acceptor;
  }

  /** The acceptor, if the timeline is open. What it says is so also when its disk has failed. */
  get acceptor(): Acceptor | undefined {
    return this.durable?.acceptor;
  }

  /** Runs something in the safekeeper, as a request to it would. A failing disk and a crash may end it. */
  request(what: (safekeeper: Safekeeper) => Promise<void>): void {
    const { incarnation } = this.node;
    const { safekeeper } = this;
    if (incarnation === undefined || safekeeper === undefined) return;
    what(safekeeper).catch((error: unknown) => {
      const isExpected =
        error instanceof VarveError && error.kind !== 'assertion' && error.kind !== 'corruption';
      if (!isExpected && incarnation.isAlive) this.#kernel.fail(error);
    });
  }

  /** What is in the segments on the disk, as the operating system shows it; up to where a segment is missing. */
  wal(beginLsn: Lsn, endLsn: Lsn): WalPiece {
    const bytes = new Uint8Array(endLsn - beginLsn);
    const names = new WalDirectory(undefined as never, TIMELINE_DIRECTORY, TEST_SEGMENT_BYTES);
    for (let at: number = beginLsn; at < endLsn; ) {
      const segment = Math.floor(at / TEST_SEGMENT_BYTES);
      const inSegment = at - segment * TEST_SEGMENT_BYTES;
      const length = Math.min(endLsn - at, TEST_SEGMENT_BYTES - inSegment);
      const file = this.#file(names.partialPath(segment)) ?? this.#file(names.completePath(segment));
      const count = file?.read(bytes, at - beginLsn, length, inSegment) ?? 0;
      if (count < length) return { beginLsn, bytes: bytes.subarray(0, at - beginLsn + count) };
      at += length;
    }
    return { beginLsn, bytes };
  }

  #file(path: string): DiskFile | undefined {
    const { disk } = this.node;
    const entry = disk.has(path) ? disk.find(path).entry : undefined;
    return entry instanceof DiskFile ? entry : undefined;
  }

  async #main(doors: SimDoors): Promise<void> {
    const { incarnation } = this.node;
    try {
      const safekeeper = await Safekeeper.start(
        { nodeId: this.id, directory: DATA_DIRECTORY, listenPg: { host: '0.0.0.0', port: SAFEKEEPER_PORT } },
        { ...doors, logger: this.#logger, metrics, workspace },
      );
      this.safekeeper = safekeeper;
      // What it finds on its disk must be in order, whether anybody asks for it or not.
      (await this.timeline?.stay('wal'))?.[Symbol.dispose]();
    } catch (error) {
      if (!isDiskTrouble(error)) throw error;
      if (this.safekeeper !== undefined) return;
      this.#kernel.after(incarnation, RETRY_START_US, () => {
        this.node.crash({ kind: 'kill' });
        this.boot();
      });
    }
  }
}

/** What must never stand in a log. The rest of it says nothing that is not seen elsewhere. */
const NEVER = /would cut WAL that is committed|begin term \d+ at different positions/;

function watchingLogger(id: number, kernel: Kernel): Logger {
  const look = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    const { error } = fields;
    if (typeof error !== 'string' || !NEVER.test(error)) return;
    kernel.fail(new SafetyViolation('refused', `safekeeper ${id}: ${message}: ${error}`));
  };
  const logger: Logger = { ...silentLogger, info: look, warn: look, error: look, child: () => logger };
  return logger;
}
