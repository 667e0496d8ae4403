import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import { type Lsn, parseLsn } from '../../src/base/lsn.ts';
import type { ComputeOptions } from '../../src/compute/options.ts';
import { wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import { prepareBinaries } from '../../src/io/node/postgres-binaries.ts';
import { findAccount, spawnIdentity } from '../../src/io/node/unprivileged-account.ts';
import { VarveFamily, type VarveProcess } from '../../test/support/varve-process.ts';

const HOST = '127.0.0.1';
const SAFEKEEPERS = [1, 2, 3] as const;
/** Of the configuration that `varve dev timeline create` gives a timeline. */
const MEMBERSHIP_GENERATION = 1;
const SEGMENT_BYTES = 16 * 1024 * 1024;
const WAIT_MS = 600_000;
const STORAGE_WAIT_MS = 60_000;

const runFile = promisify(execFile);
const http = nodeHttp((error) => {
  throw error;
});

interface Ports {
  readonly pg: number;
  readonly http: number;
}

/** What a storage directory that is used again has to have: others know its services by their addresses. */
type KeptPorts = Record<string, Ports>;

/** Three safekeepers and a pageserver on this machine, each a process as a user would start it. */
export class Storage implements AsyncDisposable {
  readonly directory: string;
  readonly tenantId: TenantId = parseTenantId('1'.repeat(32));
  readonly #isKept: boolean;
  readonly #family: VarveFamily;
  readonly #processes: VarveProcess[] = [];
  #ports: KeptPorts = {};

  private constructor(directory: string, isKept: boolean) {
    this.directory = directory;
    this.#isKept = isKept;
    this.#family = new VarveFamily(isKept ? '' : directory);
  }

  /** @param kept a directory that stays, with what was prepared in it; undefined: it is made, and removed at the end */
  static async open(kept: string | undefined): Promise<Storage> {
    const directory =
      kept === undefined ? await mkdtemp(join(tmpdir(), 'varve-bench-storage-')) : resolve(kept);
    await mkdir(directory, { recursive: true });
    // Where we are root servers run as somebody else, in directories of their own below it.
    await chmod(directory, 0o711);
    const storage = new Storage(directory, kept !== undefined);
    try {
      await storage.#start();
      return storage;
    } catch (error) {
      await storage[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const file = join(this.directory, 'ports.json');
    if (existsSync(file)) this.#ports = JSON.parse(await readFile(file, 'utf8')) as KeptPorts;
    await Promise.all(SAFEKEEPERS.map((id) => this.#startService('safekeeper', id, [])));
    await this.#startService('pageserver', 1, ['--safekeepers', this.members]);
    await writeFile(file, JSON.stringify(this.#ports));
  }

  async #startService(
    kind: 'safekeeper' | 'pageserver',
    id: number,
    parameters: readonly string[],
  ): Promise<void> {
    const name = `${kind}-${id}`;
    const { pg, http: web } = this.#ports[name] ?? { pg: 0, http: 0 };
    const process = this.#family.start([
      ...[kind, '--id', String(id), '--dir', join(this.directory, name), '--log-level', 'warn'],
      ...['--listen-pg', `${HOST}:${pg}`, '--listen-http', `${HOST}:${web}`, ...parameters],
    ]);
    this.#processes.push(process);
    const ready = await process.line<{ pg: { port: number }; http: { port: number } }>();
    this.#ports[name] = { pg: ready.pg.port, http: ready.http.port };
  }

  get pageserverPort(): number {
    return this.#portsOf('pageserver-1').pg;
  }

  /** Of the services, by name. */
  get residentBytes(): Promise<Record<string, number>> {
    return residentBytesOf(this.#processes, [...SAFEKEEPERS.map((id) => `safekeeper ${id}`), 'pageserver']);
  }

  /** As `--safekeepers` names them. */
  get members(): string {
    return SAFEKEEPERS.map((id) => `${id}=${HOST}:${this.#portsOf(`safekeeper-${id}`).pg}`).join(',');
  }

  /** May be called again for one that is there. */
  async createTimeline(timelineId: TimelineId): Promise<void> {
    const members = SAFEKEEPERS.map((id) => {
      const { pg, http: web } = this.#portsOf(`safekeeper-${id}`);
      return `${id}=${HOST}:${pg}/${web}`;
    });
    const process = this.#family.start([
      ...['dev', 'timeline', 'create', '--tenant', this.tenantId, '--timeline', timelineId],
      ...['--pageserver', `http://${HOST}:${this.#portsOf('pageserver-1').http}`],
      ...['--safekeepers', members.join(',')],
    ]);
    await process.line();
  }

  /**
   * Runs `varve compute`. It may not be ready yet.
   * @param pageserverPort where it finds the pageserver, if not where that is
   */
  startCompute(
    timelineId: TimelineId,
    directory: string,
    settings: Readonly<Record<string, string>>,
    pageserverPort: number = this.pageserverPort,
  ): VarveProcess {
    return this.#family.start([
      ...['compute', '--tenant', this.tenantId, '--timeline', timelineId],
      ...['--pageserver', `${HOST}:${pageserverPort}`, '--log-level', 'error'],
      ...['--safekeepers', this.members, '--generation', String(MEMBERSHIP_GENERATION)],
      ...['--dir', directory, '--listen', `${HOST}:0`],
      ...Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
    ]);
  }

  /** The same for an agent that runs already, but for where it listens and what it runs. */
  computeOptions(
    timelineId: TimelineId,
    directory: string,
  ): Omit<ComputeOptions, 'binDirectory' | 'shim' | 'listen'> {
    const members = SAFEKEEPERS.map((id) => ({
      id,
      host: HOST,
      pgPort: this.#portsOf(`safekeeper-${id}`).pg,
    }));
    return {
      tenantId: this.tenantId,
      timelineId,
      mode: { kind: 'primary' },
      pageserver: { address: { host: HOST, port: this.pageserverPort } },
      membership: { generation: MEMBERSHIP_GENERATION, members, newMembers: undefined },
      directory,
      postgresMajor: 17,
      walSegmentBytes: SEGMENT_BYTES,
      settings: {},
      storageWaitMs: STORAGE_WAIT_MS,
    };
  }

  /** Waits until the pageserver has a timeline's WAL up to there. */
  async received(timelineId: TimelineId, lsn: Lsn): Promise<void> {
    const baseUrl = `http://${HOST}:${this.#portsOf('pageserver-1').http}`;
    const client = new PageserverClient({ http, clock: nodeClock, baseUrl });
    const wanted = new Map([[timelineId, lsn]]);
    const result = await client.waitLsn(
      wholeTenant(this.tenantId),
      wanted,
      WAIT_MS,
      AbortSignal.timeout(WAIT_MS),
    );
    if (result !== 'all')
      throw new Error(`the pageserver has not taken in ${timelineId} within ${WAIT_MS} ms`);
  }

  /** Does once what a kept directory has from then on: it is not done where it was done before. */
  async prepareOnce(name: string, prepare: () => Promise<void>): Promise<void> {
    const file = join(this.directory, `${name}.prepared`);
    if (existsSync(file)) return;
    await prepare();
    await writeFile(file, '');
  }

  #portsOf(name: string): Ports {
    const ports = this.#ports[name];
    if (ports === undefined) throw new Error(`${name} does not run`);
    return ports;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isKept) await Promise.all(this.#processes.map((each) => each.kill('SIGTERM')));
    await this.#family[Symbol.asyncDispose]();
    if (!this.#isKept) await rm(this.directory, { recursive: true, force: true });
  }
}

/** Ids that stay the same from one run to the next. */
export function timelineIdOf(name: string): TimelineId {
  return parseTimelineId(Buffer.from(name).toString('hex').padEnd(32, '0').slice(0, 32));
}

/** Ends a compute in order. Gives the LSN that everything of it is below. */
export async function stopCompute(compute: VarveProcess): Promise<Lsn> {
  compute.signal('SIGTERM');
  const { lsn } = await compute.line<{ lsn: string }>();
  const end = await compute.ended;
  if (end !== 0) throw new Error(`a compute has ended with ${end}: ${compute.errorText}`);
  return parseLsn(lsn);
}

async function residentBytesOf(
  processes: readonly VarveProcess[],
  names: readonly string[],
): Promise<Record<string, number>> {
  const sizes = await Promise.all(processes.map(({ pid }) => residentBytes(pid)));
  return Object.fromEntries(names.map((name, index) => [name, sizes[index] as number]));
}

/** What a process has in memory (proc(5), VmRSS); 0 where the system does not say. */
export async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

/** What `postgres --version` says, without its name. */
export async function serverVersion(pgBin: string | undefined): Promise<string> {
  const account = findAccount();
  const binDirectory = await prepareBinaries(account, pgBin);
  const { stdout } = await runFile(join(binDirectory, 'postgres'), ['--version'], spawnIdentity(account));
  return stdout.replace(/^postgres \(PostgreSQL\) /, '').trim();
}
