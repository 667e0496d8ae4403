import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import type { VarveFamily, VarveProcess } from '../support/varve-process.ts';
import { PROBE_VARIABLE, type ProbedTime, type ProbedUsage, type ProbeQuestion } from './pages-usage.ts';

const PROBE = new URL('./pages-probe.ts', import.meta.url);
const CACHE = '4MB';

export interface PagesProcessOptions {
  readonly directory: string;
  readonly pgPort: number;
  readonly httpPort: number;
  /** As `varve pageserver --safekeepers` takes it. */
  readonly safekeepers: string;
  /** Where the probe answers. */
  readonly probePath: string;
}

export interface PagesUsage extends ProbedUsage {
  /** Clients of the page service. */
  readonly connections: number;
}

/** `varve pageserver` as a process that is killed and started again, at the same place. */
export class PagesProcess {
  readonly client: PageserverClient;
  /** What went wrong though nobody had killed it. */
  readonly failures: string[] = [];
  readonly #family: VarveFamily;
  readonly #options: PagesProcessOptions;
  readonly #baseUrl: string;
  #process: VarveProcess | undefined;

  constructor(family: VarveFamily, options: PagesProcessOptions) {
    this.#family = family;
    this.#options = options;
    this.#baseUrl = `http://127.0.0.1:${options.httpPort}`;
    const http = nodeHttp(() => undefined);
    this.client = new PageserverClient({ http, clock: nodeClock, baseUrl: this.#baseUrl });
  }

  get pgPort(): number {
    return this.#options.pgPort;
  }

  /** Not while it is down, and not before it serves again. */
  get isRunning(): boolean {
    return this.#process !== undefined;
  }

  get pid(): number {
    return this.#running.pid;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const { directory, pgPort, httpPort, safekeepers, probePath } = this.#options;
    const started = this.#family.start(
      [
        ...['pageserver', '--id', '1', '--dir', directory, '--safekeepers', safekeepers],
        ...['--listen-pg', `127.0.0.1:${pgPort}`, '--listen-http', `127.0.0.1:${httpPort}`],
        ...['--page-cache-size', CACHE, '--block-cache-size', CACHE],
      ],
      { wrapper: ['env', `NODE_OPTIONS=--import=${PROBE.href}`, `${PROBE_VARIABLE}=${probePath}`] },
    );
    await started.line();
    this.#process = started;
    void started.ended.then((end) => {
      if (this.#process !== started) return;
      this.failures.push(`the pageserver ended by itself (${end}): ${started.errorText.slice(-3000)}`);
    });
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** In order, as an operator does. */
  async stop(): Promise<void> {
    const end = await this.#end('SIGTERM');
    if (end !== 0) this.failures.push(`the pageserver did not close in order: ${end}`);
  }

  async usage(): Promise<PagesUsage> {
    const probed = (await this.#probe('usage')) as ProbedUsage;
    const metrics = await (await fetch(`${this.#baseUrl}/metrics`)).text();
    const connections = /^pageserver_live_connections (\d+)$/m.exec(metrics)?.[1];
    if (connections === undefined) throw new Error('no metric says how many clients there are');
    return { ...probed, connections: Number(connections) };
  }

  /** How long it needed for the last request of that method and that path. undefined: it was killed since. */
  async requestTime(request: string): Promise<ProbedTime | undefined> {
    return ((await this.#probe({ request })) as ProbedTime | null) ?? undefined;
  }

  async #probe(question: ProbeQuestion): Promise<unknown> {
    const socket = connect(this.#options.probePath);
    socket.write(JSON.stringify(question));
    return JSON.parse(await text(socket));
  }

  get #running(): VarveProcess {
    if (this.#process === undefined) throw new Error('the pageserver does not run');
    return this.#process;
  }

  async #end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    const ending = this.#running;
    this.#process = undefined;
    const end = await ending.kill(signal);
    const errors = ending.log.filter(({ level }) => level === 'error');
    for (const error of errors) this.failures.push(`the pageserver logged ${JSON.stringify(error)}`);
    return end;
  }
}
