import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../src/base/errors.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { Connection } from '../../src/io/sockets.ts';
import type { ClientConnection } from '../../src/libpq/client/client-connection.ts';
import { connectPageService } from '../../src/page-client/connect-page-service.ts';
import { PageClient } from '../../src/page-client/page-client.ts';
import { PageStream } from '../../src/page-client/page-stream.ts';
import { MODEL_DATABASE, MODEL_RELATIONS, MODEL_TABLESPACE, modelRelation } from '../engine/model-cluster.ts';
import { CLOG, pageName, sizeName } from '../engine/model-records.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { type PagedTimeline, type PagedTimelines, pickLsn } from './paged-timelines.ts';
import { within } from './within.ts';

const TIMEOUT_MS = 30_000;
const sockets = nodeSockets((error) => {
  throw error;
});
export const doors = { sockets, clock: nodeClock, random: nodeRandom };
const SLOW_CHANCE = 0.05;
const ZEROS = new Uint8Array(8192);
/** What one that does not read has unsent at most. */
const UNSENT_BYTES_MAX: number = 256 * 1024;

/** What all clients have found. */
export interface PageFindings {
  pages: number;
  /** Answers that are not what the model has, and refusals of what is there. */
  readonly wrong: string[];
  /** What did not end in time. */
  readonly stuck: string[];
}

export interface PageClientOptions {
  readonly port: number;
  readonly timelines: PagedTimelines;
  readonly findings: PageFindings;
  readonly random: SeededRandom;
  readonly signal: AbortSignal;
}

/** Reads until it is told to stop, one connection after another. */
export async function readPages(options: PageClientOptions): Promise<void> {
  const { timelines, signal, random } = options;
  while (!signal.aborted) {
    const timeline = await timelines.pickPresent(random);
    await attempt(options, timeline, async () => {
      await using client = await PageClient.connect(doors, { ...connectOptions(options), ...timeline });
      for (let batch = 1 + random.below(20); batch > 0 && !signal.aborted; batch--) {
        const depth = 1 + random.below(32);
        const answers = Promise.all(Array.from({ length: depth }, () => checkOne(options, client, timeline)));
        const isSlow = random.chance(SLOW_CHANCE);
        const slowly = isSlow ? readNothing(client.stream, random) : undefined;
        await within(TIMEOUT_MS, `${depth} requests wait`, answers);
        await slowly;
      }
    });
  }
}

/** Answers pile up for a while. */
async function readNothing(stream: PageStream, random: SeededRandom): Promise<void> {
  stream.pause();
  await delay(random.between(10, 500));
  stream.resume();
}

export const connectOptions = ({ port }: PageClientOptions) => ({
  address: { host: '127.0.0.1', port },
  connectTimeoutMs: TIMEOUT_MS,
  signal: new AbortController().signal,
});

/** What a timeline that is shut down ends is no finding. */
export async function attempt(
  { findings }: PageClientOptions,
  timeline: PagedTimeline,
  action: () => Promise<void>,
): Promise<void> {
  const { life } = timeline;
  try {
    await action();
  } catch (error) {
    if (!(error instanceof VarveError)) {
      findings.stuck.push(`timeline ${timeline.timelineId}: ${error}`);
      return;
    }
    if (timeline.isLeaving || timeline.life !== life) return;
    findings.wrong.push(`timeline ${timeline.timelineId}: ${error.code}: ${error.message}`);
  }
}

/** Asks for something that `random` picks, and compares it with the model. */
export async function checkOne(
  { findings, random }: Pick<PageClientOptions, 'findings' | 'random'>,
  client: PageClient,
  timeline: Pick<PagedTimeline, 'timelineId' | 'model'>,
): Promise<void> {
  const { model } = timeline;
  const lsn = pickLsn(timeline, random);
  const lsns = { requestLsn: lsn, notModifiedSince: lsn };
  const relation = random.pick(MODEL_RELATIONS);
  const size = model.numberAt(sizeName(relation), lsn);
  const differs = (what: string): void => {
    findings.wrong.push(`timeline ${timeline.timelineId} at ${lsn}: ${what} of relation ${relation}`);
  };
  const dice = random.below(20);
  if (size === undefined || dice === 0) {
    if ((await client.exists(lsns, modelRelation(relation), 0)) !== (size !== undefined))
      differs('existence');
  } else if (dice === 1) {
    if ((await client.blockCount(lsns, modelRelation(relation), 0)) !== size) differs('size');
  } else if (dice === 2) {
    const segment = await client.slruSegment(lsns, 'clog', 0);
    if (Buffer.compare(segment, model.bytesAt(CLOG, lsn) as Uint8Array) !== 0) differs('clog');
  } else {
    await checkPage(client, timeline, lsn, relation, random.below(size + 1), differs);
    findings.pages++;
  }
}

async function checkPage(
  client: PageClient,
  { model }: Pick<PagedTimeline, 'model'>,
  lsn: Lsn,
  relation: number,
  block: number,
  differs: (what: string) => void,
): Promise<void> {
  const size = model.numberAt(sizeName(relation), lsn) as number;
  const wanted = block < size ? (model.bytesAt(pageName(relation, block), lsn) as Uint8Array) : ZEROS;
  const lsns = { requestLsn: lsn, notModifiedSince: lsn };
  const page = await client.page(lsns, modelRelation(relation), 0, block);
  if (Buffer.compare(page, wanted) !== 0) differs(`block ${block}`);
}

/** Asks for pages and never reads an answer, until the pipe is full; then it stays for a while, and is gone. */
export async function neverRead(options: PageClientOptions): Promise<void> {
  const { timelines, signal, random } = options;
  while (!signal.aborted) {
    const timeline = await timelines.pickPresent(random);
    await attempt(options, timeline, async () => {
      const connection = await connectPageService(doors, connectOptions(options));
      try {
        await fillPipe(options, timeline, connection);
        if (random.chance(0.5)) connection.abort(new VarveError('cancelled', 'CANCELLED', 'enough'));
      } finally {
        await within(TIMEOUT_MS, 'a connection that is closed stays', connection.close());
      }
    });
  }
}

export async function fillPipe(
  { random, signal }: Pick<PageClientOptions, 'random' | 'signal'>,
  timeline: Pick<PagedTimeline, 'tenantId' | 'timelineId' | 'model'>,
  connection: ClientConnection,
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const stream = await PageStream.open(connection, timeline, {
    onPage: () => undefined,
    onAnswer: () => undefined,
    onRefused: () => undefined,
    onEnd: () => ended.resolve(),
  });
  stream.pause();
  const lsn = pickLsn(timeline, random);
  // The signal ends the stay.
  const stay = delay(random.between(200, 4000), undefined, { signal }).catch(() => undefined);
  while (stream.unsentBytes < UNSENT_BYTES_MAX && !stream.isEnded && !signal.aborted) {
    for (let count = 0; count < 500 && !stream.isEnded; count++) {
      stream.requestPage(
        lsn,
        lsn,
        MODEL_TABLESPACE,
        MODEL_DATABASE,
        MODEL_RELATIONS[0] as number,
        0,
        count % 3,
      );
    }
    stream.flush();
    await nodeClock.yieldToOthers();
  }
  await Promise.race([stay, ended.promise]);
}

/** Sends what nobody may send, and leaves, or is thrown out. */
export async function sendGarbage(options: PageClientOptions): Promise<void> {
  const { timelines, signal, random, port } = options;
  while (!signal.aborted) {
    const timeline = await timelines.pickPresent(random);
    await attempt(options, timeline, async () => {
      const { tenantId, timelineId } = timeline;
      const connection = await sockets.connect({ host: '127.0.0.1', port }, new AbortController().signal);
      const closed = new Promise<void>((resolve) => {
        connection.receive({
          onBytes: () => undefined,
          onEnd: () => connection.close(),
          onClosed: () => resolve(),
        });
      });
      await garble(connection, `pagestream_v3 ${tenantId} ${timelineId}`, random);
      // Half of a message is waited for until its sender leaves.
      const timer = setTimeout(() => connection.close(), random.between(10, 1000));
      await within(TIMEOUT_MS, 'garbage has a connection', closed);
      clearTimeout(timer);
    });
  }
}

async function garble(connection: Connection, command: string, random: SeededRandom): Promise<void> {
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.below(256)));
  const message = (tag: string, body: Buffer): Buffer => {
    const header = Buffer.alloc(5);
    header.write(tag, 'latin1');
    header.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([header, body]);
  };
  const startup = Buffer.from('\0\0\0\x13\0\x03\0\0user\0varve\0\0', 'latin1');
  const begin = Buffer.concat([startup, message('Q', Buffer.from(`${command}\0`))]);
  const dice = random.below(6);
  if (dice === 0) return connection.send(bytes(1 + random.below(2000)));
  connection.send(begin);
  await delay(random.below(50));
  if (dice === 1) connection.send(bytes(1 + random.below(2000)));
  else if (dice === 2) connection.send(message('d', bytes(random.below(60))));
  else if (dice === 3) connection.send(message('d', bytes(42)).subarray(0, random.below(47)));
  else if (dice === 4) connection.send(message('c', Buffer.alloc(0)));
  else {
    // A request that is right but for its fields.
    const request = bytes(42);
    request[0] = random.below(5);
    connection.send(message('d', request));
  }
}
