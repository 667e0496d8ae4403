import { describe, expect, test, vi } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { toLsn } from '../../src/base/lsn.ts';
import * as messages from '../../src/contracts/page-messages.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { connectPageService, type PageServiceOptions } from '../../src/page-client/connect-page-service.ts';
import { PageClient } from '../../src/page-client/page-client.ts';
import { copyFromPageService, leaseLsn } from '../../src/page-client/page-commands.ts';
import { type PageReceiver, PageRequestError, PageStream } from '../../src/page-client/page-stream.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import {
  answerError,
  answerPage,
  type FakeAnswer,
  FakePageService,
  makeResponse,
} from '../support/fake-page-service.ts';

const doors = {
  sockets: nodeSockets((error) => {
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
};
const TENANT = parseTenantId('1'.repeat(32));
const TIMELINE = parseTimelineId('2'.repeat(32));
const RELATION = { tablespace: 1663, database: 5, relation: 16_384 };
const LSNS = { requestLsn: messages.LATEST, notModifiedSince: toLsn(100) };
const VERSIONS: readonly messages.PageProtocolVersion[] = [2, 3];

const optionsFor = (service: FakePageService, signal = new AbortController().signal): PageServiceOptions => ({
  address: { host: '127.0.0.1', port: service.port },
  token: 'a token',
  applicationName: 'test',
  computeMode: 'static',
  connectTimeoutMs: 10_000,
  signal,
});

const connectTo = (
  service: FakePageService,
  version: messages.PageProtocolVersion = 3,
): Promise<PageClient> =>
  PageClient.connect(doors, { ...optionsFor(service), tenantId: TENANT, timelineId: TIMELINE, version });

/** Answers whatever is asked with something that shows the request's fields. */
const answerAll: FakeAnswer = (request, stream) => {
  const { version, view, tag } = request;
  if (tag === messages.REQUEST_GET_PAGE) return answerPage(request, stream);
  const response = makeResponse(request, tag === messages.REQUEST_SLRU_SEGMENT ? 2 * 8192 : 0, (into, at) => {
    if (tag === messages.REQUEST_EXISTS) into.setUint8(at, messages.readFork(version, view, 0) === 1 ? 1 : 0);
    if (tag === messages.REQUEST_NBLOCKS) into.setUint32(at, messages.readRelation(version, view, 0) + 1);
    if (tag === messages.REQUEST_DATABASE_SIZE)
      messages.writeDatabaseSize(into, at, messages.readDatabaseOfSize(version, view, 0) * 2 ** 33);
    if (tag === messages.REQUEST_SLRU_SEGMENT) {
      into.setUint32(at, 2);
      into.setUint8(at + 4, messages.readSlruKind(version, view, 0));
      into.setUint32(at + 4 + 8192, messages.readSlruSegment(version, view, 0));
    }
  });
  stream.sendCopyData(response);
};

describe.each(VERSIONS)('version %i', (version) => {
  test('asks for everything, many at once, and each gets its own answer', async () => {
    await using service = await FakePageService.start(answerAll);
    await using client = await connectTo(service, version);
    expect(service.commands).toEqual([`pagestream_v${version} ${TENANT} ${TIMELINE}`]);
    expect(service.token).toBe('a token');
    const pages = Promise.all(
      Array.from({ length: 1000 }, (_, block) => client.page(LSNS, RELATION, 0, block)),
    );
    const others = Promise.all([
      client.exists(LSNS, RELATION, 1),
      client.exists(LSNS, RELATION, 2),
      client.blockCount(LSNS, RELATION, 0),
      client.databaseSize(LSNS, 7),
      client.slruSegment(LSNS, 'multixact-offsets', 17),
    ]);
    const views = (await pages).map((page) => new DataView(page.buffer, page.byteOffset, page.length));
    expect(views.map((view) => view.getUint32(8188))).toEqual(views.map((_, block) => block));
    const [yes, no, blocks, size, segment] = await others;
    expect([yes, no, blocks, size]).toEqual([true, false, 16_385, 7 * 2 ** 33]);
    expect([segment.length, segment[0], segment[8192 + 3]]).toEqual([2 * 8192, 2, 17]);
    expect(client.stream.inFlight).toBe(0);
  });

  test('what the service refuses is an error of that request alone', async () => {
    await using service = await FakePageService.start((request, stream) => {
      const isOdd = messages.readBlock(version, request.view, 0) % 2 === 1;
      (isOdd ? answerError('tried to request a page "ö" that was gone') : answerPage)(request, stream);
    });
    await using client = await connectTo(service, version);
    const [even, odd, evenToo] = await Promise.allSettled(
      [0, 1, 2].map((block) => client.page(LSNS, RELATION, 0, block)),
    );
    expect([even?.status, evenToo?.status]).toEqual(['fulfilled', 'fulfilled']);
    const error = (odd as PromiseRejectedResult).reason as PageRequestError;
    expect(error).toBeInstanceOf(PageRequestError);
    expect(error).toMatchObject({
      kind: 'precondition',
      message: 'tried to request a page "ö" that was gone',
    });
  });
});

test('who gives up is told so at once, and the others get their answers', async () => {
  const held: (() => void)[] = [];
  await using service = await FakePageService.start((request, stream) => {
    held.push(() => answerPage(request, stream));
  });
  await using client = await connectTo(service);
  const life = new AbortController();
  const target = new Uint8Array(8192);
  const first = client.page(LSNS, RELATION, 0, 1, { target, signal: life.signal });
  const second = client.page(LSNS, RELATION, 0, 2);
  await vi.waitFor(() => expect(held).toHaveLength(2));
  life.abort();
  await expect(first).rejects.toMatchObject({ kind: 'cancelled', code: 'CANCELLED' });
  for (const answer of held) answer();
  expect((await second)[3]).toBe(2);
  expect(target.every((byte) => byte === 0)).toBe(true);
  await expect(client.exists(LSNS, RELATION, 0, life.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
});

test('a connection that is lost, closed or ended by its signal ends all that waits', async () => {
  const life = new AbortController();
  await using service = await FakePageService.start(() => undefined);
  const stream = { tenantId: TENANT, timelineId: TIMELINE };
  const aborted = await PageClient.connect(doors, { ...optionsFor(service, life.signal), ...stream });
  const waiting = aborted.page(LSNS, RELATION, 0, 1);
  life.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  await expect(aborted.page(LSNS, RELATION, 0, 1)).rejects.toMatchObject({ code: 'CANCELLED' });

  const closed = await connectTo(service);
  const unanswered = expect(closed.page(LSNS, RELATION, 0, 1)).rejects.toMatchObject({
    code: 'CONNECTION_CLOSED',
  });
  await closed.close();
  await unanswered;

  const lost = await connectTo(service);
  const before = service.requests;
  const shutdown = expect(lost.page(LSNS, RELATION, 0, 1)).rejects.toMatchObject({ kind: 'unavailable' });
  await vi.waitFor(() => expect(service.requests).toBe(before + 1));
  await service[Symbol.asyncDispose]();
  await shutdown;
  await lost.close();
});

describe('what no page service may answer ends the stream', () => {
  const changed =
    (change: (response: Uint8Array) => Uint8Array): FakeAnswer =>
    (request, stream) =>
      stream.sendCopyData(change(makeResponse(request, 0, () => undefined)));
  const flip = (at: number): FakeAnswer =>
    changed((response) => response.with(at, (response[at] as number) ^ 1) as Uint8Array);
  test.each<[string, FakeAnswer, string]>([
    ['another id', flip(8), 'CROSSED_PAGE_RESPONSE'],
    ['another request LSN', flip(16), 'CROSSED_PAGE_RESPONSE'],
    ['another LSN since which nothing changed', flip(24), 'CROSSED_PAGE_RESPONSE'],
    ['another relation', flip(36), 'CROSSED_PAGE_RESPONSE'],
    ['another fork', flip(37), 'CROSSED_PAGE_RESPONSE'],
    ['another block', flip(41), 'CROSSED_PAGE_RESPONSE'],
    ['a short page', changed((response) => response.subarray(0, -1)), 'BAD_PAGE_RESPONSE'],
    ['an unknown tag', changed((response) => response.with(0, 42) as Uint8Array), 'UNKNOWN_PAGE_RESPONSE'],
    [
      'an answer too many',
      (request, stream) => {
        answerPage(request, stream);
        answerPage(request, stream);
      },
      'UNEXPECTED_PAGE_RESPONSE',
    ],
  ])('%s', async (_, answer, code) => {
    await using service = await FakePageService.start(answer);
    await using client = await connectTo(service);
    await client.page(LSNS, RELATION, 0, 1).then(
      // The stream ends with the first or the second; with what is asked of the next one.
      () => client.page(LSNS, RELATION, 0, 2).catch(() => undefined),
      () => undefined,
    );
    expect(client.stream.isEnded).toBe(true);
    await expect(client.page(LSNS, RELATION, 0, 3)).rejects.toMatchObject({ code });
  });
});

describe('PS-14: requests are sent whether or not answers are read', () => {
  const receiver = (changes: Partial<PageReceiver> = {}): PageReceiver => ({
    onPage: () => undefined,
    onAnswer: () => undefined,
    onRefused: () => undefined,
    onEnd: () => undefined,
    ...changes,
  });
  const open = async (service: FakePageService, to: PageReceiver): Promise<PageStream> => {
    const connection = await connectPageService(doors, optionsFor(service));
    return await PageStream.open(connection, { tenantId: TENANT, timelineId: TIMELINE }, to);
  };
  const ask = (stream: PageStream, block: number): number =>
    stream.requestPage(messages.LATEST, toLsn(100), 1663, 5, 16_384, 0, block);

  test('a client that never reads fills the pipe; what it has unsent is known, and it can leave', async () => {
    await using service = await FakePageService.start(answerPage);
    let pages = 0;
    const stream = await open(service, receiver({ onPage: () => void pages++ }));
    stream.pause();
    let isStuck = false;
    let sent = 0;
    while (!isStuck) {
      for (let count = 0; count < 1000; count++) ask(stream, sent++);
      const timeout = new Promise<boolean>((resolve) => {
        nodeClock.setTimer(500, () => resolve(true));
      });
      isStuck = await Promise.race([stream.drained(64 * 1024).then(() => false), timeout]);
    }
    // The service has stopped to read since nobody takes its answers, and the pipe to it is full.
    expect(service.requests).toBeLessThan(sent);
    expect(stream.unsentBytes).toBeGreaterThan(64 * 1024);
    expect(stream.unsentBytes).toBeLessThan(64 * 1024 + 1000 * 47);
    // It may have come when the pause began.
    expect(pages).toBe(0);
    expect(stream.inFlight).toBe(sent);
    stream.abort(new VarveError('cancelled', 'CANCELLED', 'enough'));
    expect(stream.isEnded).toBe(true);
  });

  test('one that reads at last gets all answers, in order', async () => {
    await using service = await FakePageService.start(answerPage);
    const blocks: number[] = [];
    const all = Promise.withResolvers<void>();
    const stream = await open(
      service,
      receiver({
        onPage: (request, bytes, offset) => {
          expect(request).toBe(blocks.length);
          blocks.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset));
          if (blocks.length === 5000) all.resolve();
        },
        onEnd: all.reject,
      }),
    );
    stream.pause();
    for (let block = 0; block < 5000; block++) expect(ask(stream, block * 3)).toBe(block);
    await vi.waitFor(() => expect(service.requests).toBeGreaterThan(50));
    stream.resume();
    await all.promise;
    expect(blocks).toEqual(blocks.map((_, index) => index * 3));
    await stream.close();
  });
});

test('a lease is until a time, or refused', async () => {
  await using service = await FakePageService.start(() => undefined);
  const connection = await connectPageService(doors, optionsFor(service));
  const target = { tenantId: TENANT, timelineId: TIMELINE };
  expect(await leaseLsn(connection, target, toLsn(5))).toBe(5000);
  expect(await leaseLsn(connection, target, toLsn(1))).toBeUndefined();
  await connection.close();
});

test('a start set is copied over TLS, with a token, and the connection goes on', async () => {
  const identity = makeSelfSigned(['localhost']);
  await using service = await FakePageService.start(() => undefined, identity);
  const tls = { authorities: identity.certificate, serverName: 'localhost' };
  const connection = await connectPageService(doors, { ...optionsFor(service), tls });
  const target = { tenantId: TENANT, timelineId: TIMELINE };
  const firstBytes: (number | undefined)[] = [];
  let bytes = 0;
  for await (const piece of copyFromPageService(connection, {
    kind: 'StartSet',
    form: 'standby',
    ...target,
  })) {
    firstBytes.push(piece[0]);
    bytes += piece.length;
  }
  expect([firstBytes, bytes]).toEqual([Array.from({ length: 100 }, (_, piece) => piece), 10_000_000]);
  expect(service.commands).toEqual([`startset ${TENANT} ${TIMELINE} --standby`]);
  expect(await leaseLsn(connection, target, toLsn(5))).toBe(5000);
  await connection.close();
});
