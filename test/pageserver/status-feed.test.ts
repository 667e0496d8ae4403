import { expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { toLsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import { silentLogger } from '../../src/observe/log.ts';
import { StatusFeed, type TimelineNews } from '../../src/pageserver/ingest/receiver/status-feed.ts';
import { FakeSafekeeper } from './fake-safekeeper.ts';

const POLL = { timeout: 10_000, interval: 5 };
const keyOf = (digit: string) => ({
  tenantId: parseTenantId('1'.repeat(32)),
  timelineId: parseTimelineId(digit.repeat(32)),
});
const commitsOf = (news: TimelineNews) => news.heard().map(({ nodeId, state }) => [nodeId, state.commitLsn]);

function openFeed() {
  const life = new AbortController();
  const doors = {
    sockets: nodeSockets((error) => {
      throw error;
    }),
    clock: nodeClock,
    random: nodeRandom,
  };
  const feed = new StatusFeed({
    doors,
    logger: silentLogger,
    access: { applicationName: 'pageserver-1' },
    signal: life.signal,
  });
  return {
    feed,
    async [Symbol.asyncDispose]() {
      life.abort();
      await feed.settled();
    },
  };
}

test('one stream from a safekeeper serves all timelines, as long as any of them follows it', async () => {
  await using one = await FakeSafekeeper.start(1);
  await using two = await FakeSafekeeper.start(2);
  one.commitLsn = toLsn(1000);
  two.commitLsn = toLsn(2000);
  await using world = openFeed();
  const { feed } = world;
  let told = 0;
  const first = feed.follow(keyOf('a'), [one.address, two.address], () => told++);
  const second = feed.follow(keyOf('b'), [one.address], () => undefined);
  const both = [
    [1, 1000],
    [2, 2000],
  ];
  await expect.poll(() => commitsOf(first).sort(), POLL).toEqual(both);
  await expect.poll(() => commitsOf(second), POLL).toEqual([[1, 1000]]);
  expect(told).toBeGreaterThanOrEqual(2);
  expect([one.statusStreams, two.statusStreams]).toEqual([1, 1]);
  second[Symbol.dispose]();
  await expect.poll(() => [...one.followed.keys()], POLL).toEqual([keyOf('a').timelineId]);
  one.commit(1500);
  await expect.poll(() => commitsOf(first).sort()[0], POLL).toEqual([1, 1500]);
  expect(commitsOf(second)).toEqual([]);
  first.setMembers([two.address]);
  expect(commitsOf(first)).toEqual([[2, 2000]]);
  expect(feed.linkCount).toBe(1);
  first[Symbol.dispose]();
  expect(feed.linkCount).toBe(0);
  await expect.poll(() => one.followers + two.followers, POLL).toBe(0);
});

test('what an earlier stream has told does not count once there is another', async () => {
  await using one = await FakeSafekeeper.start(1);
  one.commitLsn = toLsn(1000);
  await using world = openFeed();
  using news = world.feed.follow(keyOf('a'), [one.address], () => undefined);
  await expect.poll(() => commitsOf(news), POLL).toEqual([[1, 1000]]);
  one.isMute = true;
  one.dropStatus();
  await expect.poll(() => one.statusStreams, POLL).toBe(2);
  await expect.poll(() => commitsOf(news), POLL).toEqual([]);
  one.isMute = false;
  one.commit(3000);
  await expect.poll(() => commitsOf(news), POLL).toEqual([[1, 3000]]);
});

test('a safekeeper that has moved is followed at its new address', async () => {
  await using old = await FakeSafekeeper.start(1);
  await using moved = await FakeSafekeeper.start(1);
  old.commitLsn = toLsn(1000);
  moved.commitLsn = toLsn(2000);
  await using world = openFeed();
  using news = world.feed.follow(keyOf('a'), [old.address], () => undefined);
  await expect.poll(() => commitsOf(news), POLL).toEqual([[1, 1000]]);
  news.setMembers([moved.address]);
  expect(commitsOf(news)).toEqual([]);
  await expect.poll(() => commitsOf(news), POLL).toEqual([[1, 2000]]);
  expect(world.feed.linkCount).toBe(1);
});
