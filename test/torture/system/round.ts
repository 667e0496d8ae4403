import { readFile } from 'node:fs/promises';
import { parseTenantId } from '../../../src/base/ids.ts';
import { PageserverClient } from '../../../src/http/pageserver-client.ts';
import { TokenSigner } from '../../../src/http/token-signer.ts';
import { nodeClock } from '../../../src/io/node/clock.ts';
import { nodeFiles } from '../../../src/io/node/files.ts';
import { nodeHttp } from '../../../src/io/node/http.ts';
import { readSystem } from '../../../src/system/system-file.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { eventually, within } from '../within.ts';
import { createBank, leave } from './bank.ts';
import { checkStructure } from './branch-checks.ts';
import { type BranchSurroundings, BranchUnderLoad } from './branch-under-load.ts';
import { BranchWork, type WorkFindings } from './branch-work.ts';
import { ControlRequests } from './control-requests.ts';
import { Disturbances } from './disturbances.ts';
import { Ledger } from './ledger.ts';
import { OperatedSystem } from './operated-system.ts';

/** The first start makes a cluster, on a machine that may be busy. */
const FIRST_START_MS = 180_000;
/** When everything is well again, whoever waits for something longer than this is stuck. */
const STUCK_MS = 120_000;
/** Then it is worth a look. */
const LATE_MS = 30_000;
const MAIN_CLIENTS = 3;

/** So that layers are written, merged and removed all the time. Where branches were left in the last minutes stays readable. */
const UPKEEP = {
  checkpoint_distance: 4 * 1024 * 1024,
  compaction_target_size: 2 * 1024 * 1024,
  compaction_period: '1s',
  compaction_threshold: 3,
  image_creation_threshold: 2,
  gc_period: '2s',
  gc_horizon: 1024 * 1024,
  pitr_interval: '10m',
};

export interface SystemRoundOptions {
  readonly seed: number;
  /** How long it is disturbed. */
  readonly disturbedMs: number;
  /** Between two transfers of a client. */
  readonly pauseMs?: number;
  /** Whether indexes are checked at the end, and all is looked at once more after another start. */
  readonly isThorough?: boolean;
  /** Where the system's logs are copied to, if something was found. */
  readonly logs?: string;
  /** Ends the disturbances: what was begun is brought to its end, and looked at. */
  readonly signal?: AbortSignal;
  /** Told what happens. */
  readonly onEvent?: (text: string) => void;
  /** Told now and then how far it is, in words. */
  readonly onProgress?: (text: string) => void;
}

export interface SystemRoundResult extends WorkFindings {
  readonly kills: number;
  readonly acknowledged: number;
  readonly starts: number;
  /** What was done to the system, and to branches; how often the system ended in each way; which endpoints failed of what. */
  readonly disturbances: ReadonlyMap<string, number>;
  readonly branchWork: ReadonlyMap<string, number>;
  readonly ends: ReadonlyMap<string, number>;
  readonly failedEndpoints: ReadonlyMap<string, number>;
  readonly failedObjects: number;
  /** What could not be done here, and why. */
  readonly skipped: readonly string[];
}

/** A whole system under load and disturbances, from its first start to the proof of what is left. */
export async function runSystemRound(options: SystemRoundOptions): Promise<SystemRoundResult> {
  const round = new SystemRound(options);
  await round.run();
  return round.result();
}

class SystemRound {
  readonly #options: SystemRoundOptions;
  readonly #random: SeededRandom;
  readonly #ledger = new Ledger();
  readonly #findings: WorkFindings = { lost: 0, wrong: [], stuck: [] };
  readonly #failedEndpoints = new Map<string, number>();
  readonly #onEvent: (text: string) => void;
  /** Given when nothing is waited for any more. */
  readonly #patience = new AbortController();
  #isHealed = false;
  #kills = 0;
  #phase = 'the first start';
  #system: OperatedSystem | undefined;
  #work: BranchWork | undefined;
  #disturbances: Disturbances | undefined;

  constructor(options: SystemRoundOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#onEvent = options.onEvent ?? (() => undefined);
  }

  async run(): Promise<void> {
    const { onProgress = () => undefined } = this.#options;
    const begunAtMs = performance.now();
    const progress = setInterval(() => {
      const seconds = ((performance.now() - begunAtMs) / 1000).toFixed(0);
      const branches = this.#work?.branches.length ?? 0;
      onProgress(
        `${seconds} s, ${this.#phase}: kills=${this.#disturbances?.kills ?? 0} acked=${this.#ledger.acknowledged} ` +
          `branches=${branches} starts=${this.#system?.starts ?? 0}`,
      );
    }, 1000);
    try {
      await using system = await OperatedSystem.begin({
        random: this.#random.fork(),
        onEvent: this.#onEvent,
      });
      this.#system = system;
      try {
        await this.#torture(system);
      } catch (error) {
        this.#findings.stuck.push(describe(error));
      } finally {
        this.#patience.abort();
        this.#findings.wrong.push(...system.strangeEnds.map((how) => `the system ended with ${how}`));
        for (const branch of this.#work?.branches ?? []) branch.isGone = true;
        this.#kills = this.#disturbances?.kills ?? 0;
        await this.#keepLogs(system);
      }
    } finally {
      clearInterval(progress);
    }
  }

  result(): SystemRoundResult {
    const { smallDisk = '' } = this.#system ?? {};
    return {
      ...this.#findings,
      kills: this.#kills,
      acknowledged: this.#ledger.acknowledged,
      starts: this.#system?.starts ?? 0,
      disturbances: this.#disturbances?.counts ?? new Map(),
      branchWork: this.#work?.counts ?? new Map(),
      ends: this.#system?.ends ?? new Map(),
      failedEndpoints: this.#failedEndpoints,
      failedObjects: this.#system?.store.failed ?? 0,
      skipped: typeof smallDisk === 'string' ? [`no disk that fills up (${smallDisk})`] : [],
    };
  }

  async #torture(system: OperatedSystem): Promise<void> {
    const { disturbedMs, pauseMs = 3, signal } = this.#options;
    await system.untilUp(FIRST_START_MS);
    const requests = new ControlRequests(system, this.#patience.signal);
    const surroundings: BranchSurroundings = {
      requests,
      pauseMs,
      onEvent: this.#onEvent,
      onWrong: (text) => this.#findings.wrong.push(text),
      onFailedEndpoint: (text) => this.#noteFailedEndpoint(text),
    };
    await tuneStorage(system, requests);
    const main = new BranchUnderLoad('main', undefined, this.#ledger.emptyHistory(), surroundings);
    const client = await main.enter();
    await createBank(client);
    leave(client);
    const work = new BranchWork(
      this.#ledger,
      this.#random.fork(),
      surroundings,
      this.#findings,
      this.#patience.signal,
    );
    this.#work = work;
    work.add(main);
    main.startClients(MAIN_CLIENTS, this.#random.fork());
    const disturbances = new Disturbances(system, this.#random.fork(), this.#onEvent);
    this.#disturbances = disturbances;
    this.#phase = 'disturbed';
    const over = AbortSignal.any([
      AbortSignal.timeout(Math.round(disturbedMs)),
      ...(signal === undefined ? [] : [signal]),
    ]);
    await Promise.all([disturbances.run(over), work.run(over)]);
    await this.#prove(system, work);
  }

  /** Everything is well again: everybody is served, and nothing is missing, also after another start. */
  async #prove(system: OperatedSystem, work: BranchWork): Promise<void> {
    this.#onEvent('healed');
    this.#phase = 'healed';
    this.#isHealed = true;
    system.continueAll();
    const late = setTimeout(() => void this.#showStatus(system, work), LATE_MS);
    await system.untilUp(STUCK_MS);
    await this.#unstuck('something is not over', work);
    await this.#everybodyIsServed(work);
    clearTimeout(late);
    this.#phase = 'looking';
    await within(STUCK_MS, 'clients do not end', Promise.all(work.branches.map((each) => each.endClients())));
    await within(STUCK_MS, 'branches cannot be looked at', work.lookAtAll());
    if (this.#options.isThorough ?? true) await this.#proveThoroughly(system, work);
    const end = await within(STUCK_MS, 'the system does not stop', system.stop());
    if (end !== 0) this.#findings.wrong.push(`the system ended with ${end}`);
  }

  async #proveThoroughly(system: OperatedSystem, work: BranchWork): Promise<void> {
    for (const branch of work.branches) {
      this.#findings.wrong.push(...(await within(STUCK_MS, 'no check ends', checkStructure(branch))));
    }
    this.#phase = 'after another start';
    system.killEverything();
    await eventually(STUCK_MS, 'the system does not end', async () => !system.isUp);
    await system.untilUp(STUCK_MS);
    await within(STUCK_MS, 'branches cannot be looked at after another start', work.lookAtAll());
  }

  /** For whoever has to find out why it takes so long: how far each part is. */
  async #showStatus(system: OperatedSystem, work: BranchWork): Promise<void> {
    const last = work.branches.map(({ name, lastError }) => `${name}: ${lastError}`).join('; ');
    this.#onEvent(`it takes long: ${work.underWay.join(', ')} (${last})`);
    const requests = new ControlRequests(system, this.#patience.signal);
    try {
      this.#onEvent(`status ${JSON.stringify(await requests.status())}`);
    } catch (error) {
      this.#onEvent(`no status: ${(error as Error).message}`);
    }
  }

  async #unstuck(complaint: string, work: BranchWork): Promise<void> {
    try {
      await within(STUCK_MS, complaint, work.settled());
    } catch (error) {
      const last = work.branches.map(({ name, lastError }) => `${name}: ${lastError}`).join('; ');
      this.#findings.stuck.push(`${describe(error)}: ${work.underWay.join(', ')} (${last})`);
    }
  }

  async #everybodyIsServed(work: BranchWork): Promise<void> {
    await Promise.all(
      work.branches.map(async (branch) => {
        const before = [...branch.acknowledgedOf];
        const isServed = async (): Promise<boolean> =>
          branch.acknowledgedOf.every((count, index) => count > (before[index] ?? 0));
        try {
          await eventually(STUCK_MS, `clients of ${branch.name} are not served`, isServed);
        } catch (error) {
          this.#findings.stuck.push(`${(error as Error).message}: ${branch.lastError}`);
        }
      }),
    );
  }

  #noteFailedEndpoint(text: string): void {
    this.#onEvent(`failed endpoint ${text}`);
    const reason = text.slice(text.indexOf(': ') + 2).split(' ')[0] as string;
    this.#failedEndpoints.set(reason, (this.#failedEndpoints.get(reason) ?? 0) + 1);
    if (this.#isHealed) this.#findings.stuck.push(`an endpoint is failed though all is well: ${text}`);
  }

  async #keepLogs(system: OperatedSystem): Promise<void> {
    const { lost, wrong, stuck } = this.#findings;
    if (this.#options.logs === undefined || lost + wrong.length + stuck.length === 0) return;
    await system.copyLogs(this.#options.logs);
  }
}

/** Sets upkeep so that much of it happens in a short time. */
async function tuneStorage(system: OperatedSystem, requests: ControlRequests): Promise<void> {
  const description = await readSystem(nodeFiles, system.directory);
  if (description === undefined) throw new Error('a system that is up describes itself');
  const signer = await TokenSigner.fromPem(await readFile(`${system.directory}/keys/private.pem`, 'utf8'));
  const token = await signer.sign({ scope: 'pageserverapi' });
  const client = new PageserverClient({
    http: nodeHttp(() => undefined),
    clock: nodeClock,
    baseUrl: `http://127.0.0.1:${description.pageserver.httpPort}`,
    token: async () => token,
  });
  const [branch] = await requests.branches();
  await client.putConfig(parseTenantId(branch?.projectId ?? ''), UPKEEP, AbortSignal.timeout(30_000));
}

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);
