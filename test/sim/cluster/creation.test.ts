import { expect, test } from 'vitest';
import { toLsn } from '../../../src/base/lsn.ts';
import { NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import { TEST_SEGMENT_BYTES } from '../../support/safekeeper-wal.ts';
import { Kernel } from '../kernel.ts';
import { SafekeeperNode } from './safekeeper-node.ts';
import { SERVER, TENANT, TIMELINE } from './timeline-identity.ts';

const START_LSN = toLsn(TEST_SEGMENT_BYTES + 40);

async function create(kernel: Kernel, safekeeper: SafekeeperNode): Promise<void> {
  await kernel.run({ until: () => safekeeper.safekeeper !== undefined });
  safekeeper.request(async ({ timelines }) => {
    const key = { tenantId: TENANT, timelineId: TIMELINE };
    await timelines.create({
      ...key,
      membership: NO_MEMBERSHIP,
      server: SERVER,
      startLsn: START_LSN,
      commitLsn: START_LSN,
    });
    using timeline = await timelines.get(TENANT, TIMELINE).stay('state');
    await timeline.acceptor.run((it) => it.bumpTerm(5));
  });
}

test('what a timeline has promised outlives a loss of power, wherever its creation was broken off before', async () => {
  let crashes = 0;
  for (let effects = 1; effects <= 40; effects++) {
    const kernel = new Kernel(effects);
    const safekeeper = new SafekeeperNode(kernel, 1);
    safekeeper.boot();
    await kernel.run({ until: () => safekeeper.safekeeper !== undefined });
    // The process is gone, and what it wrote is in the operating system's cache.
    safekeeper.node.crashAtEffect(effects, 'after', { kind: 'kill' });
    await create(kernel, safekeeper);
    await kernel.run({ until: () => !safekeeper.node.isAlive || safekeeper.acceptor?.term === 5 });
    if (!safekeeper.node.isAlive) crashes++;
    safekeeper.boot();
    await create(kernel, safekeeper);
    await kernel.run({ until: () => safekeeper.acceptor?.term === 5 });
    safekeeper.node.crash({ kind: 'power', survival: 'nothing' });
    safekeeper.boot();
    await kernel.run({ until: () => safekeeper.acceptor !== undefined });
    expect(safekeeper.acceptor?.term).toBe(5);
  }
  expect(crashes).toBeGreaterThan(5);
});

test('a timeline can be made after an attempt that the disk has failed', async () => {
  for (let syncs = 0; syncs < 8; syncs++) {
    const kernel = new Kernel(syncs);
    const safekeeper = new SafekeeperNode(kernel, 1);
    safekeeper.boot();
    await kernel.run({ until: () => safekeeper.safekeeper !== undefined });
    let left = syncs;
    const { faults } = safekeeper.node.disk;
    faults.fails = (operation) => operation === 'sync' && left-- === 0;
    await create(kernel, safekeeper);
    await kernel.run({ untilMs: kernel.nowUs / 1000 + 1000 });
    await create(kernel, safekeeper);
    await kernel.run({ untilMs: kernel.nowUs / 1000 + 1000 });
    expect(safekeeper.acceptor?.term).toBe(5);
  }
});
