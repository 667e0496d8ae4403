import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TimelineId } from '../../src/base/ids.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type {
  HostAnswers,
  HostCall,
  HostReady,
  HostReply,
  HostRequest,
  HostSettings,
  TimelineStatus,
} from './host-protocol.ts';

const PROGRAM = join(import.meta.dirname, 'host.ts');
const ERROR_CHARACTERS_MAX = 256 * 1024;

/** The storage refused or failed to do what it was asked for. */
export class HostRequestError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Waiting {
  readonly call: HostCall;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The process with the storage engine in it, which is killed and started again. Requests that a kill interrupts are made
 * again, so whoever makes one does not notice, but for the time that it takes.
 */
export class StorageHost implements AsyncDisposable {
  readonly #settings: HostSettings;
  readonly #waiting = new Map<number, Waiting>();
  #child: ChildProcess | undefined;
  #isReady = false;
  #lastId = 0;
  #failure: Error | undefined;
  #errorText = '';
  kills = 0;
  /** What must be there after a restart, and what must not. */
  readonly #created = new Set<TimelineId>();
  readonly #deleted = new Set<TimelineId>();
  /** Highest positions that were ever told of. */
  readonly #remoteConsistent = new Map<TimelineId, number>();

  private constructor(settings: HostSettings) {
    this.#settings = settings;
  }

  static async start(settings: HostSettings): Promise<StorageHost> {
    const host = new StorageHost(settings);
    await host.#start();
    return host;
  }

  /** Lines of level error in its log. */
  get loggedErrors(): string[] {
    return this.#errorText.split('\n').filter((line) => line.includes('"level":"error"'));
  }

  get logTail(): string {
    return this.#errorText.slice(-4000);
  }

  async request<Request extends HostRequest>(request: Request): Promise<HostAnswers[Request['do']]> {
    if (request.do === 'delete') this.#created.delete(request.timelineId);
    const answer = (await this.#ask(request)) as HostAnswers[Request['do']];
    if (request.do === 'create' || request.do === 'branch') this.#created.add(request.timelineId);
    if (request.do === 'delete') this.#deleted.add(request.timelineId);
    if (request.do === 'feed') this.#noteRemoteConsistent(request.timelineId, answer as number);
    return answer;
  }

  /** `kill -9`; perhaps files go, as when a disk is lost; and a new process. */
  async restart(random: SeededRandom): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.kills++;
    this.#child = undefined;
    this.#isReady = false;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    if (random.chance(0.3)) this.#loseLocalFiles(random);
    await this.#start();
    await this.#checkStart();
  }

  /** In order: it exits by itself when the channel closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  #ask(request: HostRequest): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const call: HostCall = { id: ++this.#lastId, request };
    return new Promise((resolve, reject) => {
      this.#waiting.set(call.id, { call, resolve, reject });
      if (this.#isReady) this.#child?.send(call);
    });
  }

  async #start(): Promise<void> {
    const child = fork(PROGRAM, [JSON.stringify(this.#settings)], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-ERROR_CHARACTERS_MAX);
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.on('error', () => undefined);
    child.on('message', (message: HostReady | HostReply) => {
      if ('ready' in message) resolve();
      else if (this.#child === child) this.#take(message);
    });
    child.once('exit', (code, signal) => {
      if (this.#child !== child) return resolve();
      const error = new Error(`the storage process ended by itself (${code ?? signal}):\n${this.logTail}`);
      this.#fail(error);
      reject(error);
    });
    await promise;
    if (this.#child !== child) return;
    this.#isReady = true;
    for (const { call } of this.#waiting.values()) child.send(call);
  }

  #take({ id, answer, failure }: HostReply): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (failure === undefined) waiting.resolve(answer);
    else waiting.reject(new HostRequestError(failure.code, failure.message));
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#child = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #noteRemoteConsistent(timelineId: TimelineId, lsn: number): void {
    this.#remoteConsistent.set(timelineId, Math.max(lsn, this.#remoteConsistent.get(timelineId) ?? 0));
  }

  /** What was acknowledged has survived. */
  async #checkStart(): Promise<void> {
    const created = [...this.#created];
    const deleted = [...this.#deleted];
    const promised = new Map(this.#remoteConsistent);
    const status = new Map((await this.request({ do: 'status' })).map((each) => [each.timelineId, each]));
    const lost = created.filter((id) => !status.has(id) && this.#created.has(id));
    const back = deleted.filter((id) => status.has(id));
    const behind = [...status.values()].filter(
      (each) => each.lastRecordLsn < (promised.get(each.timelineId) ?? 0),
    );
    const complaints = [
      ...lost.map((id) => `timeline ${id} is lost`),
      ...back.map((id) => `timeline ${id} is back`),
      ...behind.map((each: TimelineStatus) => `timeline ${each.timelineId} is at ${each.lastRecordLsn} only`),
    ];
    if (complaints.length > 0) throw new Error(`after a kill ${complaints.join(', ')}`);
  }

  /** Some or all of what is in the local directory of timelines: the bucket has it all. */
  #loseLocalFiles(random: SeededRandom): void {
    const share = random.pick([0.2, 1]);
    const tenants = join(this.#settings.directory, 'local', 'tenants');
    for (const entry of readdirSync(tenants, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && random.chance(share)) rmSync(join(entry.parentPath, entry.name));
    }
  }
}
