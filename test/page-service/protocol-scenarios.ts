/** What a client may expect of the protocol, as plain functions. */
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
import { computePageChecksum } from '../../src/postgres/page/checksum.ts';
import { isNewPage, PAGE_CHECKSUM, Page } from '../../src/postgres/page/page.ts';
import { MODEL_RELATIONS, MODEL_START } from '../engine/model-cluster.ts';
import { sizeName } from '../engine/model-records.ts';
import { MAIN } from '../support/storage-world.ts';
import { PageServiceWorld } from './page-service-world.ts';
import { encodeRequest, type PageTestClient, type RequestFields, TENANT } from './page-test-client.ts';

const [RELATION] = MODEL_RELATIONS as [number];

/** The response to one request, or the text of the error. */
async function answer(client: PageTestClient, fields: RequestFields): Promise<Uint8Array | string> {
  const before = client.responses.length;
  client.ask(encodeRequest(3, fields));
  await client.untilResponses(before + 1);
  const response = client.responses[before];
  if (response === undefined) return `the stream has ended: ${client.errors.join()}`;
  return response[0] === 103 ? (client.refusals.at(-1) as string) : response;
}

async function refuses(client: PageTestClient, fields: RequestFields, reason: RegExp): Promise<void> {
  const text = await answer(client, fields);
  assert.equal(typeof text, 'string', `a request is to be refused: ${reason}`);
  assert.match(text as string, reason);
}

/** LSNs that contradict each other, that nobody promises any more, or that do not come. */
export async function checksLsns(): Promise<void> {
  const settings = {
    historyBytes: 0,
    historyMs: 0,
    lsnWaitMs: 100,
    openLayerBytes: 8000,
    isCompacting: false,
  };
  await using world = await PageServiceWorld.open({ settings });
  await world.write(200);
  const { timeline, upkeep } = world.main;
  const leased = world.model.pickLsn(0.3, world.model.initialLsn);
  upkeep.lease(leased, Date.now() + 600_000);
  await timeline.flush();
  await timeline.remote.waitForUploads(timeline.signal);
  await upkeep.collectGarbage();
  const cutoff = timeline.gcCutoffLsn;
  assert.ok(cutoff > leased, 'history has been forgotten');
  const client = await world.stream();
  for (const tag of [
    REQUEST_GET_PAGE,
    REQUEST_EXISTS,
    REQUEST_NBLOCKS,
    REQUEST_DATABASE_SIZE,
    REQUEST_SLRU_SEGMENT,
  ]) {
    const ask = { tag, notModifiedSince: MODEL_START };
    await refuses(client, { ...ask, requestLsn: toLsn(0), notModifiedSince: toLsn(0) }, /as of no LSN/);
    await refuses(
      client,
      { ...ask, requestLsn: cutoff, notModifiedSince: toLsn(cutoff + 8) },
      /which is later/,
    );
    await refuses(client, { ...ask, notModifiedSince: LATEST }, /end of time/);
    await refuses(client, { ...ask, requestLsn: (2 ** 60) as Lsn }, /2\^53/);
    await refuses(client, { ...ask, requestLsn: toLsn(leased + 1) }, /can be read from/);
    assert.equal(typeof (await answer(client, { ...ask, requestLsn: leased })), 'object');
    // Now all that it needs is in memory.
    await refuses(client, { ...ask, requestLsn: toLsn(leased + 1) }, /can be read from/);
    assert.equal(typeof (await answer(client, { ...ask, requestLsn: cutoff })), 'object');
    const future = toLsn(timeline.lastRecordLsn + 1);
    await refuses(client, { ...ask, notModifiedSince: future }, /has been taken in up to .* only/);
    // An LSN that is still to come may be asked for where nothing has changed since one that is there.
    assert.equal(typeof (await answer(client, { ...ask, requestLsn: future })), 'object');
  }
  assert.deepEqual(client.errors, []);
}

/** A page that is waited for comes with its WAL, and what was asked before it does not wait for it. */
export async function waitsForWal(): Promise<void> {
  await using world = await PageServiceWorld.open();
  await world.write(50);
  const { model } = world;
  const client = await world.stream();
  const soon = toLsn(model.lastLsn + 1);
  client.ask(
    encodeRequest(3, { tag: REQUEST_GET_PAGE }),
    encodeRequest(3, { tag: REQUEST_GET_PAGE, notModifiedSince: soon, requestId: 2 }),
    encodeRequest(3, { tag: REQUEST_GET_PAGE, requestId: 3 }),
  );
  await client.untilResponses(1);
  while (world.main.timeline.lsns.waiting === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.responses.length, 1);
  await world.write(50);
  await client.untilResponses(3);
  assert.deepEqual(
    client.responses.map((response) => [response[0], response[8]]),
    [
      [102, 1],
      [102, 2],
      [102, 3],
    ],
  );
}

/** What is not there: behind the end, maps, relations, forks, segments. */
export async function answersForWhatIsNotThere(): Promise<void> {
  await using world = await PageServiceWorld.open();
  await world.write(30);
  const client = await world.stream();
  const page = (await answer(client, {
    tag: REQUEST_GET_PAGE,
    relation: RELATION,
    block: 0xffff_ffff,
  })) as Uint8Array;
  assert.ok(
    page.subarray(42).every((byte) => byte === 0),
    'a page behind the end is zero',
  );
  const fsm = { relation: RELATION, fork: 1 };
  const emptyMap = (await answer(client, { tag: REQUEST_GET_PAGE, ...fsm })) as Uint8Array;
  assert.ok(
    emptyMap.subarray(42).every((byte) => byte === 0),
    'a map that is not there is zero',
  );
  const blocks = (await answer(client, { tag: REQUEST_NBLOCKS, ...fsm })) as Uint8Array;
  assert.deepEqual([...blocks.subarray(-4)], [0, 0, 0, 0]);
  const exists = (await answer(client, { tag: REQUEST_EXISTS, ...fsm })) as Uint8Array;
  assert.equal(exists.at(-1), 0);
  for (const tag of [REQUEST_GET_PAGE, REQUEST_NBLOCKS]) {
    await refuses(client, { tag, relation: 99 }, /there is no fork 0 of relation/);
  }
  for (const tag of [REQUEST_GET_PAGE, REQUEST_NBLOCKS, REQUEST_EXISTS]) {
    await refuses(client, { tag, relation: 0 }, /no relation has the number 0/);
    await refuses(client, { tag, relation: RELATION, fork: 4 }, /there is no fork 4/);
  }
  await refuses(client, { tag: REQUEST_SLRU_SEGMENT, kind: 0, block: 500 }, /no segment 500 of clog/);
  await refuses(client, { tag: REQUEST_SLRU_SEGMENT, kind: 3 }, /there is no SLRU 3/);
  const segment = (await answer(client, { tag: REQUEST_SLRU_SEGMENT, kind: 0, block: 0 })) as Uint8Array;
  assert.equal((segment.length - 34) % 8192, 0);
  const size = (await answer(client, { tag: REQUEST_DATABASE_SIZE })) as Uint8Array;
  const stored = MODEL_RELATIONS.reduce(
    (sum, relation) =>
      sum +
      (world.model.numberAt(sizeName(relation)) ?? 0) +
      (world.model.numberAt(`map size ${relation}`) ?? 0),
    0,
  );
  assert.equal(new DataView(size.buffer, size.byteOffset).getUint32(size.length - 4), stored * 8192);
  const none = (await answer(client, { tag: REQUEST_DATABASE_SIZE, database: 4_294_967_295 })) as Uint8Array;
  assert.deepEqual([...none.subarray(-8)], [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(client.errors, []);
}

/** What is no request ends the connection, with an error, and nobody else's. */
export async function refusesUnknownMessages(): Promise<void> {
  await using world = await PageServiceWorld.open();
  const other = await world.stream();
  const good = encodeRequest(3, { tag: REQUEST_GET_PAGE });
  const bad: readonly [Uint8Array, RegExp][] = [
    [good.with(0, 99), /no request 99/],
    [good.with(0, 5), /no request 5/],
    [new Uint8Array(0), /is empty/],
    [good.subarray(0, 20), /has 20 bytes and not 42/],
    [new Uint8Array(43), /has 43 bytes/],
  ];
  for (const [message, reason] of bad) {
    const client = await world.stream();
    client.ask(good, message, good);
    await client.until(() => client.isClosed);
    assert.match(client.errors.join(), reason);
    assert.match(client.errors.join(), /^FATAL 08P01: /);
    assert.equal(client.isClosed, true);
  }
  assert.equal(typeof (await answer(other, { tag: REQUEST_GET_PAGE })), 'object');
}

/** Version 2 repeats nothing, and is the same otherwise. */
export async function speaksVersion2(): Promise<void> {
  await using world = await PageServiceWorld.open({ pageCacheBytes: 1 });
  await world.write(50);
  const client = await world.stream(world.main, 2);
  const other = await world.stream();
  for (const block of [0, 1, 5, 25]) {
    client.ask(
      encodeRequest(2, { tag: REQUEST_GET_PAGE, block }),
      encodeRequest(2, { tag: REQUEST_GET_PAGE, relation: 9 }),
    );
    other.ask(encodeRequest(3, { tag: REQUEST_GET_PAGE, block }));
  }
  await client.untilResponses(8);
  await other.untilResponses(4);
  const pages = client.responses.filter((response) => response[0] === 102);
  assert.deepEqual(
    pages.map((response) => Buffer.from(response.subarray(1)).toString('hex')),
    other.responses.map((response) => Buffer.from(response.subarray(42)).toString('hex')),
  );
  const errors = client.responses.filter((response) => response[0] === 103);
  assert.equal(errors.length, 4);
  assert.match(Buffer.from(errors[0] as Uint8Array).toString('utf8'), /^gthere is no fork 0 .*\0$/s);
  // The client ends the stream, and goes on.
  client.sendMessage('c', new Uint8Array(0));
  await client.untilReady(2);
  assert.equal(client.tags, 'RSSSZWcCZ');
  // Or gives it up: what it had asked for is answered for nobody, and what it had sent behind that is passed over.
  await client.openStream(MAIN);
  client.sendMessage('f', Buffer.from('enough\0'));
  client.ask(encodeRequest(3, { tag: REQUEST_GET_PAGE }));
  await client.untilReady(3);
  assert.deepEqual(client.errors, ['ERROR 57014: COPY failed: enough']);
  client.query(`lease lsn ${TENANT} ${MAIN} 0/1000028`);
  await client.untilReady(4);
  assert.equal(client.tags, 'RSSSZWcCZWcEZTDCZ');
}

/** Pages of a cluster with data checksums have theirs, whether they come from memory or from files. */
export async function setsChecksums(): Promise<void> {
  for (const pageCacheBytes of [1, 1024 * 1024]) {
    await using world = await PageServiceWorld.open({ hasDataChecksums: true, pageCacheBytes });
    assert.ok(world.main.timeline.hasDataChecksums);
    await world.write(200);
    const client = await world.stream();
    let checked = 0;
    for (const relation of [...MODEL_RELATIONS, ...MODEL_RELATIONS]) {
      const size = world.model.numberAt(sizeName(relation)) ?? 0;
      for (let block = 0; block < size; block++) {
        const bytes = (await answer(client, { tag: REQUEST_GET_PAGE, relation, block })) as Uint8Array;
        const page = new Page(bytes.slice(-8192));
        if (isNewPage(page)) continue;
        assert.equal(page.view.getUint16(PAGE_CHECKSUM, true), computePageChecksum(page, block));
        checked++;
      }
    }
    assert.ok(checked > 10, 'there were pages');
  }
}
