import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { connectPageService } from '../../src/page-client/connect-page-service.ts';
import { type PageReceiver, PageStream } from '../../src/page-client/page-stream.ts';
import { processMs } from '../support/measure.ts';
import { Latencies } from './latencies.ts';
import { type Load, type LoadResult, PAGE_LIST_FIELDS, type Target } from './load-messages.ts';

const doors = {
  sockets: nodeSockets((error) => {
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
};
const CONNECT_TIMEOUT_MS = 60_000;

export async function openStream(
  { port, tenantId, timelineId }: Target,
  receiver: PageReceiver,
): Promise<PageStream> {
  const connection = await connectPageService(doors, {
    address: { host: '127.0.0.1', port },
    applicationName: 'bench',
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    signal: new AbortController().signal,
  });
  const options = { tenantId: parseTenantId(tenantId), timelineId: parseTimelineId(timelineId) };
  return await PageStream.open(connection, options, receiver);
}

/** Keeps as many requests in flight as it is told, on each of its connections, and measures how long each takes. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const run = new LoadRun(load);
  await Promise.all(Array.from({ length: load.connections }, (_, index) => run.connect(index)));
  return await run.run();
}

interface LoadStream {
  readonly stream: PageStream;
  /** When each request that is in flight was sent. */
  readonly startsMs: Float64Array;
}

class LoadRun {
  readonly #load: Load;
  readonly #lsn: Lsn;
  readonly #latencies = new Latencies();
  readonly #over = Promise.withResolvers<void>();
  readonly #streams: LoadStream[] = [];
  #next = 0;
  #beginMs = Number.POSITIVE_INFINITY;
  #endMs = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  #answered = 0;
  #warmUntilMs = 0;
  #cpuMs = 0;

  constructor(load: Load) {
    this.#load = load;
    this.#lsn = toLsn(load.lsn);
  }

  async connect(index: number): Promise<void> {
    const startsMs = new Float64Array(this.#load.depth);
    const stream = await openStream(this.#load, {
      onPage: (request) => this.#onPage(index, request),
      onAnswer: () => this.#over.reject(new Error('a request for a page was answered by something else')),
      onRefused: (_, error) => this.#over.reject(error),
      onEnd: (error) => this.#over.reject(error),
    });
    this.#streams[index] = { stream, startsMs };
  }

  async run(): Promise<LoadResult> {
    this.#warmUntilMs = performance.now() + this.#load.warmUpMs;
    for (let round = 0; round < this.#load.depth; round++) {
      for (let index = 0; index < this.#streams.length; index++) this.#ask(index, performance.now());
    }
    await this.#over.promise;
    const cpuMs = processMs() - this.#cpuMs;
    await Promise.all(this.#streams.map(({ stream }) => stream.close()));
    const pages = this.#latencies.count;
    return {
      pages,
      allPages: this.#answered,
      pagesPerS: (pages / this.#load.measuredMs) * 1000,
      clientCpuUs: (cpuMs * 1000) / pages,
      ...this.#latencies.percentiles(),
    };
  }

  #ask(index: number, nowMs: number): void {
    const { pages, depth } = this.#load;
    const { stream, startsMs } = this.#streams[index] as LoadStream;
    const at = this.#next;
    this.#next = at + PAGE_LIST_FIELDS === pages.length ? 0 : at + PAGE_LIST_FIELDS;
    const request = stream.requestPage(
      this.#lsn,
      this.#lsn,
      pages[at] as number,
      pages[at + 1] as number,
      pages[at + 2] as number,
      pages[at + 3] as number,
      pages[at + 4] as number,
    );
    // As many are in flight as there are places: the one that was answered has given its own up.
    startsMs[request % depth] = nowMs;
    this.#inFlight++;
  }

  #onPage(index: number, request: number): void {
    const nowMs = performance.now();
    this.#inFlight--;
    this.#answered++;
    if (nowMs < this.#endMs) {
      if (nowMs >= this.#beginMs) {
        const { startsMs } = this.#streams[index] as LoadStream;
        this.#latencies.add(nowMs - (startsMs[request % this.#load.depth] as number));
      } else if (nowMs >= this.#warmUntilMs && this.#answered * PAGE_LIST_FIELDS >= this.#load.pages.length) {
        this.#begin(nowMs);
      }
      this.#ask(index, nowMs);
    } else if (this.#inFlight === 0) {
      this.#over.resolve();
    }
  }

  #begin(nowMs: number): void {
    this.#beginMs = nowMs;
    this.#endMs = nowMs + this.#load.measuredMs;
    this.#cpuMs = processMs();
  }
}
