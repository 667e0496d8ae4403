import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { queryObjects } from 'node:v8';
import { REQUEST_GET_PAGE } from '../../src/contracts/page-messages.ts';
import { Session } from '../../src/libpq/server/session.ts';
import { ConnectionTimelines } from '../../src/pageserver/front-door/connection-timelines.ts';
import { PageStream } from '../../src/pageserver/page-service/page-stream.ts';
import { TimelineHandle } from '../../src/pageserver/page-service/timeline-handle.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { Timeline } from '../../src/pageserver/timeline/timeline.ts';
import { PageServiceWorld } from './page-service-world.ts';
import { encodeRequest, type PageTestClient } from './page-test-client.ts';

const CONNECTS = 1000;
const TIMELINES = 100;
const CLASSES = [PageStream, TimelineHandle, ConnectionTimelines, Session] as const;
const ASK = encodeRequest(3, { tag: REQUEST_GET_PAGE });

/** How many objects there are that can still be reached. */
const count = (kind: (typeof CLASSES)[number] | typeof Timeline): number =>
  queryObjects(kind, { format: 'count' });

async function readOne(client: PageTestClient, { timeline }: ActiveTimeline): Promise<void> {
  await client.openStream(timeline.timelineId);
  const before = client.responses.length;
  client.ask(ASK);
  await client.untilResponses(before + 1);
  client.sendMessage('c', new Uint8Array(0));
  const ready = client.tags.split('Z').length;
  await client.until(() => client.tags.split('Z').length > ready || client.tags.endsWith('Z'));
}

/** Connections come and go, each with some of many timelines, and nothing of either is left behind in the other. */
export async function leavesNothing(): Promise<void> {
  await using world = await PageServiceWorld.open();
  const active: ActiveTimeline[] = [];
  for (let number = 0; number < TIMELINES; number++) active.push(await world.branch(number));
  const listeners = (): number =>
    active.reduce((sum, { timeline }) => sum + getEventListeners(timeline.signal, 'abort').length, 0);
  const listenersBefore = listeners();
  for (let connects = 0; connects < CONNECTS; connects += 20) {
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const client = await world.connect();
        // Each connection sees two timelines, and each timeline twenty connections.
        for (const step of [0, 50]) {
          await readOne(client, active[(connects + index + step) % TIMELINES] as ActiveTimeline);
        }
        client.close();
      }),
    );
  }
  await world.quiet();
  world.forgetClients();
  assert.equal(listeners(), listenersBefore, 'timelines know of connections that have gone');
  for (const kind of CLASSES) assert.equal(count(kind), 0, `${kind.name} is left`);
  // The other way round: a connection stays, and its timelines go.
  const client = await world.connect();
  await readAll(client, active);
  const timelines = count(Timeline);
  await endAll(world, active);
  assert.ok(timelines > TIMELINES, 'there were timelines');
  assert.equal(count(Timeline), 0, 'a timeline is left');
  assert.equal(client.isClosed, false);
}

async function readAll(client: PageTestClient, active: readonly ActiveTimeline[]): Promise<void> {
  for (const one of active) await readOne(client, one);
}

/** A function of its own, as above: what it had in its hands is gone when it is over. */
async function endAll(world: PageServiceWorld, active: ActiveTimeline[]): Promise<void> {
  for (const { timeline } of active.splice(0)) await world.storage.tenant.deleteTimeline(timeline.timelineId);
  await world.storage.stop();
}
