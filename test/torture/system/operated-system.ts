import { chmod, cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { S3_CREDENTIALS, startS3Server } from '../../support/s3-server.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { type ProcessEnd, VarveFamily, type VarveProcess } from '../../support/varve-process.ts';
import { SmallDisk } from '../small-disk.ts';
import { eventually } from '../within.ts';
import { FailingProxy } from './failing-proxy.ts';
import { listProcesses, listThoseOf, type SystemProcess, signalAll, treeOf } from './system-processes.ts';

const MEBIBYTE: number = 1024 * 1024;
/** Whose disk is small. Each has a directory of its own. */
const SMALL_DISKS = ['safekeeper-1', 'safekeeper-3', 'pageserver', 'control', 'computes'] as const;
const SMALL_DISK_BYTES: number = 512 * MEBIBYTE;
const RESTART_PAUSE_MS = 200;
const GONE_TIMEOUT_MS = 15_000;
const START_FAILURE_CHARACTERS = 600;
/** In order, for something that is away or was killed, interrupted, and killed: docs/exit-codes.md. */
const EXPLAINED_ENDS: readonly ProcessEnd[] = [0, 6, 130, 'SIGKILL'];

/** What `varve start --json` prints when all of it runs. */
interface Ready {
  readonly url: string | null;
  readonly api: string;
}

export interface OperatedSystemOptions {
  readonly random: SeededRandom;
  readonly onEvent: (text: string) => void;
}

/** `varve start --processes`, and somebody who starts it again whenever it has ended. */
export class OperatedSystem implements AsyncDisposable {
  /** Given to `--dir`. */
  readonly directory: string;
  readonly store: FailingProxy;
  /** Or why there is none here. */
  readonly smallDisk: SmallDisk | string;
  readonly smallDiskOf: string;
  /** How often the system has ended, for each way. */
  readonly ends = new Map<string, number>();
  /** Ends that nothing that was done to it explains: a start that was refused, or a bug. */
  readonly strangeEnds: string[] = [];
  starts = 0;
  /** What the last start that failed has said. */
  lastFailure = '';
  readonly #family: VarveFamily;
  readonly #wrapper: readonly string[];
  readonly #arguments: readonly string[];
  readonly #onEvent: (text: string) => void;
  readonly #parts: AsyncDisposableStack;
  #process: VarveProcess | undefined;
  #ready: Ready | undefined;
  #isOver = false;
  #operating: Promise<void> = Promise.resolve();

  private constructor(
    top: string,
    parts: AsyncDisposableStack,
    family: VarveFamily,
    store: FailingProxy,
    storeUrl: string,
    disk: { readonly smallDisk: SmallDisk | string; readonly smallDiskOf: string },
    onEvent: (text: string) => void,
  ) {
    this.#parts = parts;
    this.#family = family;
    this.directory = join(top, 'varve');
    this.store = store;
    this.smallDisk = disk.smallDisk;
    this.smallDiskOf = disk.smallDiskOf;
    this.#onEvent = onEvent;
    this.#wrapper = [
      ...(typeof disk.smallDisk === 'string' ? [] : disk.smallDisk.wrapper),
      'env',
      `AWS_ACCESS_KEY_ID=${S3_CREDENTIALS.accessKeyId}`,
      `AWS_SECRET_ACCESS_KEY=${S3_CREDENTIALS.secretAccessKey}`,
    ];
    this.#arguments = [
      ...['start', '--dir', this.directory, '--processes', '--port', '0', '--api-port', '0'],
      ...['--s3', storeUrl],
    ];
  }

  /** Begins to run it. It is not up yet. */
  static async begin({ random, onEvent }: OperatedSystemOptions): Promise<OperatedSystem> {
    await using parts = new AsyncDisposableStack();
    const top = await mkdtemp(join(tmpdir(), 'varve-torture-'));
    parts.defer(() => rm(top, { recursive: true, force: true, maxRetries: 5 }));
    // Servers that run as somebody else get through.
    await chmod(top, 0o711);
    const server = parts.use(await startS3Server());
    const store = parts.use(await FailingProxy.start(server.endpoint, random.fork()));
    const family = new VarveFamily(top);
    const smallDiskOf = random.pick(SMALL_DISKS);
    const smallDisk = await mountSmallDisk(join(top, 'varve', smallDiskOf), family);
    // Ended before what they use.
    if (typeof smallDisk !== 'string') parts.use(smallDisk);
    parts.defer(() => untilNothingIsLeft(top));
    parts.use(family);
    const url = `s3://${server.bucket}/torture?endpoint=${encodeURIComponent(store.endpoint)}&region=us-east-1`;
    const disk = { smallDisk, smallDiskOf };
    const system = new OperatedSystem(top, parts.move(), family, store, url, disk, onEvent);
    system.#operating = system.#operate();
    return system;
  }

  /** Of the API; undefined while it is not up. */
  get api(): string | undefined {
    return this.#ready?.api;
  }

  get isUp(): boolean {
    return this.#ready !== undefined;
  }

  /** While it runs, or is being started. */
  get mainPid(): number | undefined {
    return this.#process?.isEnded === false ? this.#process.pid : undefined;
  }

  processes(): SystemProcess[] {
    const { mainPid } = this;
    return mainPid === undefined ? [] : listProcesses(mainPid);
  }

  /** Of which the API asks for one. */
  async token(): Promise<string> {
    return (await readFile(join(this.directory, 'keys', 'api-token'), 'utf8')).trim();
  }

  async untilUp(timeoutMs: number): Promise<void> {
    try {
      await eventually(timeoutMs, 'the system is not up', async () => this.isUp);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${this.lastFailure}`, { cause: error });
    }
  }

  /** Kills all of it at once, as when the power fails. */
  killEverything(): number {
    const { mainPid } = this;
    return mainPid === undefined ? 0 : signalAll(treeOf(mainPid), 'SIGKILL');
  }

  /** Lets run whatever was stopped. */
  continueAll(): void {
    const { mainPid } = this;
    if (mainPid !== undefined) signalAll(treeOf(mainPid), 'SIGCONT');
  }

  /** Ends it in order. @returns how it ended */
  async stop(): Promise<ProcessEnd> {
    this.#isOver = true;
    const process = this.#process;
    process?.signal('SIGTERM');
    await this.#operating;
    return (await process?.ended) ?? 0;
  }

  async copyLogs(to: string): Promise<void> {
    await cp(join(this.directory, 'logs'), to, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.killEverything();
    await this.#operating;
    await this.#parts.disposeAsync();
  }

  async #operate(): Promise<void> {
    while (!this.#isOver) {
      const started = this.#family.start(this.#arguments, { wrapper: this.#wrapper });
      this.#process = started;
      this.starts++;
      try {
        this.#ready = await started.line<Ready>();
        this.#onEvent('the system is up');
      } catch (error) {
        this.lastFailure = (error as Error).message.slice(-START_FAILURE_CHARACTERS);
      }
      const end = await started.ended;
      this.#ready = undefined;
      this.#note(end, started);
      if (!this.#isOver) await delay(RESTART_PAUSE_MS);
    }
  }

  #note(end: ProcessEnd, { errorText }: VarveProcess): void {
    const code = /"code":"([A-Z_]+)"/.exec(errorText.slice(errorText.lastIndexOf('\n{') + 1))?.[1];
    const how = code === undefined ? String(end) : `${end} ${code}`;
    this.ends.set(how, (this.ends.get(how) ?? 0) + 1);
    if (!EXPLAINED_ENDS.includes(end)) this.strangeEnds.push(how);
    this.#onEvent(
      `the system has ended: ${how}; ${errorText
        .slice(errorText.lastIndexOf('\n{') + 1)
        .trim()
        .slice(0, START_FAILURE_CHARACTERS)}`,
    );
  }
}

/** Servers see that their owner is gone within moments. */
async function untilNothingIsLeft(top: string): Promise<void> {
  const left = (): string[] => listThoseOf(join(top, ''));
  await eventually(GONE_TIMEOUT_MS, 'processes are left', async () => left().length === 0).catch(
    (error: Error) => {
      throw new Error(`${error.message}: ${left().join('; ')}`, { cause: error });
    },
  );
}

/** Only root's: a server in a namespace of a user's cannot become another account. */
async function mountSmallDisk(directory: string, family: VarveFamily): Promise<SmallDisk | string> {
  if (process.getuid?.() !== 0) return 'only root can give servers a small disk';
  return await SmallDisk.mount(directory, SMALL_DISK_BYTES, family.environment);
}
