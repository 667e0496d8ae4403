import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../src/base/errors.ts';
import type { Connection } from '../../src/io/sockets.ts';
import type { ClientConnection } from '../../src/libpq/client/client-connection.ts';
import { connectPageService } from '../../src/page-client/connect-page-service.ts';
import { PageStream } from '../../src/page-client/page-stream.ts';
import { MODEL_DATABASE, MODEL_RELATIONS, MODEL_TABLESPACE } from '../engine/model-cluster.ts';
import { pageName, sizeName } from '../engine/model-records.ts';
import { attempt, connectOptions, doors, type PageClientOptions } from './page-readers.ts';
import { type PagedTimeline, pickLsn } from './paged-timelines.ts';
import { within } from './within.ts';

const TIMEOUT_MS = 30_000;
const REQUESTS_MAX = 300;
/** What of a message a cut-off client has sent: its kind, and that it is long. */
const BEGUN_MESSAGE = Uint8Array.of(0x64, 0, 0, 1, 0);

/** Asks for many pages at once, and is gone before they have come, or says that it will ask for nothing more. */
export async function askAndLeave(options: PageClientOptions): Promise<void> {
  const { timelines, signal, random } = options;
  while (!signal.aborted) {
    const timeline = await timelines.pickPresent(random);
    await attempt(options, timeline, async () => {
      let wire: Connection | undefined;
      const connect: typeof doors.sockets.connect = async (address, given) => {
        wire = await doors.sockets.connect(address, given);
        return wire;
      };
      const sockets = { listen: doors.sockets.listen, connect };
      const connection = await connectPageService({ ...doors, sockets }, connectOptions(options));
      try {
        await askOnce(options, timeline, connection, wire as unknown as Connection);
      } finally {
        connection.abort(new VarveError('cancelled', 'CANCELLED', 'it has left'));
      }
    });
  }
}

async function askOnce(
  options: PageClientOptions,
  timeline: PagedTimeline,
  connection: ClientConnection,
  wire: Connection,
): Promise<void> {
  const { random } = options;
  const ended = Promise.withResolvers<void>();
  const wanted: (Uint8Array | undefined)[] = [];
  const stream = await PageStream.open(connection, timeline, {
    onPage: (request, bytes, offset) => checkPage(options, timeline, wanted[request], bytes, offset),
    onAnswer: () => undefined,
    onRefused: () => undefined,
    onEnd: () => ended.resolve(),
  });
  requestPages(options, timeline, stream, wanted);
  if (random.chance(0.5)) await delay(random.below(20));
  if (stream.isEnded) return;
  if (random.chance(0.5)) wire.end();
  else {
    if (random.chance(0.5)) wire.send(BEGUN_MESSAGE);
    wire.close();
  }
  await within(TIMEOUT_MS, 'one that has left has a connection', ended.promise);
}

function requestPages(
  { random }: PageClientOptions,
  timeline: PagedTimeline,
  stream: PageStream,
  wanted: (Uint8Array | undefined)[],
): void {
  for (let count = 1 + random.below(REQUESTS_MAX); count > 0; count--) {
    const lsn = pickLsn(timeline, random);
    const relation = random.pick(MODEL_RELATIONS);
    const size = timeline.model.numberAt(sizeName(relation), lsn) ?? 0;
    if (size === 0) continue;
    const block = random.below(size);
    const request = stream.requestPage(lsn, lsn, MODEL_TABLESPACE, MODEL_DATABASE, relation, 0, block);
    wanted[request] = timeline.model.bytesAt(pageName(relation, block), lsn);
  }
  stream.flush();
}

function checkPage(
  { findings }: PageClientOptions,
  { timelineId }: PagedTimeline,
  wanted: Uint8Array | undefined,
  bytes: Uint8Array,
  offset: number,
): void {
  findings.pages++;
  if (wanted === undefined || Buffer.compare(bytes.subarray(offset, offset + 8192), wanted) !== 0)
    findings.wrong.push(`timeline ${timelineId}: a page for one that leaves`);
}
