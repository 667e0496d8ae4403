/** What streams of pages must do, as plain functions: the tests and the hunt for mutants run the same ones. */
import assert from 'node:assert/strict';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import {
  LATEST,
  REQUEST_DATABASE_SIZE,
  REQUEST_EXISTS,
  REQUEST_GET_PAGE,
  REQUEST_NBLOCKS,
  REQUEST_SLRU_SEGMENT,
} from '../../src/contracts/page-messages.ts';
import { BATCH_REQUESTS_MAX } from '../../src/pageserver/page-service/page-batch.ts';
import { closeActive } from '../../src/pageserver/tenant/active-timeline.ts';
import { MODEL_RELATIONS } from '../engine/model-cluster.ts';
import { pageName, sizeName } from '../engine/model-records.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { within } from '../torture/within.ts';
import { PageServiceWorld, type PageServiceWorldOptions } from './page-service-world.ts';
import { encodeRequest, type PageTestClient, type RequestFields } from './page-test-client.ts';

const SECOND_MS = 1000;
/** Far above all WAL of the model. */
export const FUTURE: Lsn = toLsn(0x7fff_0000);
const TAGS = [
  REQUEST_EXISTS,
  REQUEST_NBLOCKS,
  REQUEST_GET_PAGE,
  REQUEST_DATABASE_SIZE,
  REQUEST_SLRU_SEGMENT,
] as const;

/** Far more than the buffers of both sides' kernels hold. */
export const STALLING_REQUESTS = 6000;

/** Asks for the same page again and again, and reads nothing. Resolves when the service answers no more. */
export async function stall(client: PageTestClient, isStalled: () => boolean): Promise<void> {
  client.connection.pause();
  const request = encodeRequest(3, { tag: REQUEST_GET_PAGE });
  client.ask(...Array.from({ length: STALLING_REQUESTS }, () => request));
  while (!isStalled()) await new Promise((resolve) => setImmediate(resolve));
}

/** A world in which somebody looks at what the service has not sent yet. */
async function worldWithUnsent(
  options: PageServiceWorldOptions = {},
): Promise<{ world: PageServiceWorld; unsent: () => number }> {
  let unsent = (): number => 0;
  const world = await PageServiceWorld.open({
    ...options,
    onConnection: (connection) => {
      unsent = () => connection.unsentBytes;
    },
  });
  return { world, unsent: () => unsent() };
}

const STALLED_BYTES = 512 * 1024;

/** Next to nothing stays in memory. */
export const COLD: PageServiceWorldOptions = {
  settings: { openLayerBytes: 8000, targetBytes: 64 * 1024, historyBytes: 2 ** 40 },
  pageCacheBytes: 1,
  blockCacheBytes: 1,
};

/** 10 000 requests in one go, some of other kinds between them: each is answered in its turn, as the model has it. */
export async function keepsOrder(options: PageServiceWorldOptions = {}): Promise<void> {
  await using world = await PageServiceWorld.open(options);
  await world.write(400);
  const random = new SeededRandom(3);
  const { model } = world;
  const client = await world.stream();
  const asked: RequestFields[] = Array.from({ length: 10_000 }, (_, requestId) => {
    const lsn = random.chance(0.5) ? LATEST : model.pickLsn(random.fraction(), model.initialLsn);
    const relation = random.pick(MODEL_RELATIONS);
    const tag = random.chance(0.02) ? random.pick(TAGS) : REQUEST_GET_PAGE;
    const block = tag === REQUEST_SLRU_SEGMENT ? 0 : random.below(26);
    return { tag, relation, block, requestId, requestLsn: lsn };
  });
  const requests = asked.map((fields) => encodeRequest(3, fields));
  client.ask(...requests);
  await client.untilResponses(requests.length);
  assert.deepEqual(client.errors, []);
  client.responses.forEach((response, index) => {
    const fields = asked[index] as RequestFields;
    const request = requests[index] as Uint8Array;
    const at = fields.requestLsn === LATEST ? model.lastLsn : (fields.requestLsn as Lsn);
    const relation = fields.relation as number;
    const size = model.numberAt(sizeName(relation), at);
    const isError = response[0] === 103;
    const echoed = isError ? 25 : request.length;
    assert.deepEqual(
      response.subarray(1, echoed),
      request.subarray(1, echoed),
      `response ${index} is in its place`,
    );
    const needsRelation = fields.tag === REQUEST_GET_PAGE || fields.tag === REQUEST_NBLOCKS;
    assert.equal(isError, needsRelation && size === undefined, `request ${index} is answered with an error`);
    if (fields.tag !== REQUEST_GET_PAGE || isError) return;
    const wanted = model.bytesAt(pageName(relation, fields.block as number), at);
    const isBehind = (fields.block as number) >= (size as number);
    const page = response.subarray(request.length);
    assert.ok(
      Buffer.compare(page, isBehind || wanted === undefined ? new Uint8Array(8192) : wanted) === 0,
      `page ${index}`,
    );
  });
  const { batchSizes } = world.metrics;
  assert.equal(batchSizes.bounds.at(-1), 32);
  assert.equal(batchSizes.counts.at(-1), 0, 'a batch has more than 32 requests');
  assert.ok(batchSizes.sum / batchSizes.count > 4, 'requests that come together are answered together');
}

/** A batch is queued while the client takes nothing: its timeline can be shut down at once. */
export async function queuedHoldsNothing(): Promise<void> {
  const { world, unsent } = await worldWithUnsent();
  await using _world = world;
  const branch = await world.branch(1);
  const client = await world.stream(branch);
  await stall(client, () => unsent() > STALLED_BYTES);
  await within(SECOND_MS, 'the shutdown of a timeline with a queued batch', closeActive(branch));
}

/** Whatever a request waits for in a timeline, it stops when the timeline is shut down. */
export async function waitsEndWithTimeline(tag: number): Promise<void> {
  await using world = await PageServiceWorld.open();
  const branch = await world.branch(1);
  const client = await world.stream(branch);
  client.ask(encodeRequest(3, { tag }), encodeRequest(3, { tag, notModifiedSince: FUTURE }));
  await client.untilResponses(1);
  while (branch.timeline.lsns.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  await within(SECOND_MS, 'the shutdown of a timeline in which somebody waits', closeActive(branch));
  await client.untilReady(2);
  assert.deepEqual(client.errors, ['ERROR 08006: reconnect']);
  assert.equal(client.responses.length, 1);
}

/** When a timeline is shut down its stream ends, and the connection serves another one. */
export async function connectionOutlivesTimeline(): Promise<void> {
  await using world = await PageServiceWorld.open();
  const branch = await world.branch(1);
  const client = await world.stream(branch);
  client.ask(encodeRequest(3, { tag: REQUEST_GET_PAGE }));
  await client.untilResponses(1);
  await world.storage.tenant.deleteTimeline(branch.timeline.timelineId);
  await client.untilReady(2);
  assert.deepEqual(client.errors, ['ERROR 08006: reconnect']);
  // What it has asked before it knew is passed over.
  client.ask(encodeRequest(3, { tag: REQUEST_GET_PAGE }));
  client.sendMessage('c', new Uint8Array(0));
  await client.openStream(branch.timeline.timelineId);
  await client.untilReady(3);
  assert.match(client.errors[1] ?? '', /^ERROR 42704: .*has no timeline/);
  await client.openStream(world.main.timeline.timelineId);
  client.ask(encodeRequest(3, { tag: REQUEST_GET_PAGE, block: 1 }));
  await client.until(() => client.responses.length === 2);
  assert.equal(client.responses[1]?.[0], 102);
  assert.equal(client.isClosed, false);
}

/** Nobody is in the timeline's gate when answers are handed to the connection. */
export async function leavesBeforeSending(): Promise<void> {
  const trace: string[] = [];
  let inside = 0;
  await using world = await PageServiceWorld.open({
    pageCacheBytes: 1,
    onConnection: (connection) => {
      const send = connection.send.bind(connection);
      connection.send = (bytes, sent) => {
        trace.push(`send ${inside}`);
        send(bytes, sent);
      };
    },
  });
  await world.write(100);
  const { timeline } = world.main;
  const enter = timeline.enter.bind(timeline);
  timeline.enter = () => {
    const pass = enter();
    inside++;
    trace.push('enter');
    let isInside = true;
    const leave = (): void => {
      if (isInside) inside--;
      isInside = false;
      pass.leave();
    };
    return { leave, [Symbol.dispose]: leave };
  };
  const client = await world.stream();
  for (const tag of TAGS) {
    trace.length = 0;
    const before = client.responses.length;
    client.ask(encodeRequest(3, { tag }), encodeRequest(3, { tag }));
    await client.untilResponses(before + 2);
    assert.ok(trace.filter((step) => step === 'send 0').length > 0, `request ${tag} is answered`);
    assert.equal(
      trace.findIndex((step) => /send [^0]/.test(step)),
      -1,
      `request ${tag}: ${trace.join()}`,
    );
    if (tag === REQUEST_GET_PAGE) assert.equal(trace[0], 'enter');
  }
  assert.equal(inside, 0);
}

/** A client that never reads stops itself, and nobody else. */
export async function stalledClientStopsItself(): Promise<void> {
  const { world, unsent } = await worldWithUnsent();
  await using _world = world;
  const branch = await world.branch(1);
  const other = await world.stream();
  const before = await roundTrips(other, 500);
  const client = await world.stream(branch);
  await stall(client, () => unsent() > STALLED_BYTES);
  const during = await roundTrips(other, 500);
  assert.ok(during.p99 < 5 * before.p99 + 20, `p99 was ${before.p99} ms and is ${during.p99} ms`);
  // What is read before the client is waited for, the batch that comes on top, and as much that was under way.
  assert.ok(unsent() < STALLED_BYTES + 2 * BATCH_REQUESTS_MAX * 8300, `${unsent()} bytes wait`);
  assert.ok(world.metrics.batchSizes.sum < STALLING_REQUESTS, 'the service has read on for nobody');
  await within(
    2 * SECOND_MS,
    'the detachment of what a stalled client reads',
    world.storage.tenant.deleteTimeline(branch.timeline.timelineId),
  );
  assert.equal(client.isClosed, false);
  client.connection.resume();
  await client.untilReady(2);
  assert.deepEqual(client.errors, ['ERROR 08006: reconnect']);
}

async function roundTrips(client: PageTestClient, count: number): Promise<{ readonly p99: number }> {
  const request = encodeRequest(3, { tag: REQUEST_GET_PAGE });
  const times: number[] = [];
  for (let round = 0; round < count; round++) {
    const start = performance.now();
    client.ask(request);
    await client.untilResponses(client.responses.length + 1);
    times.push(performance.now() - start);
  }
  times.sort((left, right) => left - right);
  return { p99: times[Math.floor(count * 0.99)] as number };
}

/** A client that takes nothing is let go of, although nobody can tell it. */
export async function stalledClientIsLetGo(): Promise<void> {
  const { world, unsent } = await worldWithUnsent({
    commands: { stallTimeoutMs: 200 },
    connections: { lingerMs: 100 },
  });
  await using _world = world;
  const client = await world.stream();
  await stall(client, () => unsent() > STALLED_BYTES);
  await within(SECOND_MS, 'the end of a connection that takes nothing', world.quiet());
  assert.equal(endOf(world), 'WRITE_TIMEOUT');
}

/** The reading side has had enough while the answering one waits for the client: both end. */
export async function idleReaderWakesExecutor(): Promise<void> {
  await using world = await PageServiceWorld.open({
    connections: { readTimeoutMs: 200, lingerMs: 100 },
  });
  const client = await world.stream();
  client.ask(encodeRequest(3, { tag: REQUEST_GET_PAGE, notModifiedSince: FUTURE }));
  await within(SECOND_MS, 'the end of an idle connection whose answer is waited for', world.quiet());
  assert.equal(endOf(world), 'READ_TIMEOUT');
}

/** The client goes while its request waits. */
export async function lostClientWakesExecutor(tag: number): Promise<void> {
  await using world = await PageServiceWorld.open();
  const client = await world.stream();
  client.ask(encodeRequest(3, { tag, notModifiedSince: FUTURE }));
  const { lsns } = world.main.timeline;
  while (lsns.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  client.close();
  await within(SECOND_MS, 'the end of a connection whose client has gone', world.quiet());
  assert.equal(lsns.waiting, 0);
}

function endOf(world: PageServiceWorld): string {
  const ending = world.endings.at(-1);
  return ending?.kind === 'error' ? ending.error.code : (ending?.kind ?? 'none');
}

/** Streams of several connections are answered side by side, and no timeline is looked up for a request. */
export async function looksUpOnce(): Promise<void> {
  await using world = await PageServiceWorld.open();
  await world.write(100);
  const request = encodeRequest(3, { tag: REQUEST_GET_PAGE });
  const cost = async (clients: readonly PageTestClient[], rounds: number): Promise<number> => {
    const startCpu = process.cpuUsage();
    for (let round = 0; round < rounds; round++) {
      for (const client of clients) client.ask(...Array.from({ length: 32 }, () => request));
      await Promise.all(clients.map((client) => client.untilResponses(client.responses.length + 32)));
      for (const client of clients) client.responses.length = 0;
    }
    const { user, system } = process.cpuUsage(startCpu);
    return (user + system) / (rounds * clients.length * 32);
  };
  const clients: PageTestClient[] = [];
  for (let count = 0; count < 64; count++) clients.push(await world.stream());
  for (const client of clients.slice(0, 4)) {
    client.sendMessage('c', new Uint8Array(0));
    await client.untilReady(2);
    await client.openStream(world.main.timeline.timelineId);
  }
  assert.equal(world.lookups, 64);
  await cost(clients, 2);
  const alone = await cost(clients.slice(0, 1), 256);
  const together = await cost(clients, 4);
  assert.equal(world.lookups, 64);
  assert.ok(
    together < alone * 3,
    `a page costs ${alone} µs for one connection and ${together} µs for each of 64`,
  );
}

/** A client that reads late still gets the pages that it has asked for, though others have been served meanwhile. */
export async function slowClientGetsItsOwn(): Promise<void> {
  const { world, unsent } = await worldWithUnsent();
  await using _world = world;
  await world.write(100);
  const other = await world.stream();
  const slow = await world.stream();
  await stall(slow, () => unsent() > STALLED_BYTES);
  other.ask(...Array.from({ length: 200 }, () => encodeRequest(3, { tag: REQUEST_GET_PAGE, block: 1 })));
  await other.untilResponses(200);
  slow.connection.resume();
  await slow.untilResponses(STALLING_REQUESTS);
  const [first] = slow.responses;
  for (const [index, response] of slow.responses.entries()) {
    assert.ok(Buffer.compare(response, first as Uint8Array) === 0, `answer ${index} is another request’s`);
  }
}
