import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseTimelineId, type TimelineId } from '../../src/base/ids.ts';
import type { InitialClusters } from '../../src/pageserver/initial/initial-clusters.ts';
import {
  CLUSTER_CONTROL_FILE,
  clusterKey,
  KIND_DATABASE,
  kindRange,
} from '../../src/pageserver/keyspace/keys.ts';
import type { ReadContext } from '../../src/pageserver/layers/read-context.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { decodeControlFile } from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { initdbClusters } from '../support/initdb.ts';
import { StorageWorld } from '../support/storage-world.ts';

const context: ReadContext = { task: 'administration', signal: new AbortController().signal };
const idOf = (number: number): TimelineId => parseTimelineId(number.toString(16).padStart(32, '0'));

/** Clusters of initdb, with how many have been made. */
function counted(): InitialClusters & { made: number } {
  const clusters = initdbClusters();
  const counting = {
    made: 0,
    withCluster: ((major, signal, use) => {
      counting.made++;
      return clusters.withCluster(major, signal, use);
    }) as InitialClusters['withCluster'],
  };
  return counting;
}

async function controlOf({ timeline, reads }: ActiveTimeline) {
  const bytes = await reads.value(clusterKey(CLUSTER_CONTROL_FILE), timeline.lastRecordLsn, context);
  return decodeControlFile(POSTGRES_17, bytes as Uint8Array);
}

test('timelines begin as new clusters, each with an identity of its own, and are whole in the store', async () => {
  const initialClusters = counted();
  await using world = await StorageWorld.open({ initialClusters });
  await world.storage.attach(world.tenantId);
  const ids = [1, 2, 3].map(idOf);
  for (const id of ids) {
    const { timeline } = await world.tenant.createFromInitdb(id, { major: 17 });
    expect(timeline.remote.projectedRemoteConsistentLsn).toBe(timeline.lastRecordLsn);
    expect(timeline.lastRecordLsn).toBeGreaterThan(timeline.initialLsn);
    expect(timeline.hasDataChecksums).toBe(false);
  }
  expect(initialClusters.made).toBe(1);
  // What is on the disk is not needed.
  await world.stop();
  await rm(join(world.directory, 'local/tenants'), { recursive: true });
  await rm(join(world.directory, 'local/initial-clusters'), { recursive: true });
  await world.start();
  const identities = new Set<bigint>();
  const nonces = new Set<string>();
  for (const id of ids) {
    const active = world.tenant.timeline(id);
    const { timeline, reads } = active;
    const control = await controlOf(active);
    expect(control.systemIdentifier).toBe(timeline.systemIdentifier);
    expect(control.checkPoint).toBe(timeline.initialLsn);
    expect(control.walLogHints).toBe(false);
    identities.add(control.systemIdentifier);
    nonces.add(Buffer.from(control.mockAuthenticationNonce).toString('hex'));
    // template0, template1, postgres, and what is shared.
    expect(await reads.scan(kindRange(KIND_DATABASE), timeline.lastRecordLsn, context)).toHaveLength(4);
    expect(timeline.previousRecordLsn).toBe(timeline.initialLsn);
  }
  expect([identities.size, nonces.size]).toEqual([3, 3]);
  // Another pageserver takes what the store has.
  await world.tenant.createFromInitdb(idOf(4), { major: 17 });
  expect(initialClusters.made).toBe(1);
  expect(await readdir(join(world.directory, 'local/initial-clusters'))).toHaveLength(1);
});

test('the same creation once more gives the same timeline, another one is refused', async () => {
  await using world = await StorageWorld.open({ initialClusters: initdbClusters() });
  const tenant = await world.storage.attach(world.tenantId);
  const creating = tenant.createFromInitdb(idOf(1), { major: 17 });
  await expect(tenant.createFromInitdb(idOf(1), { major: 17 })).rejects.toMatchObject({
    kind: 'conflict',
    code: 'TIMELINE_BEING_CREATED',
  });
  const made = await creating;
  expect(await tenant.createFromInitdb(idOf(1), { major: 17 })).toBe(made);
  await expect(tenant.createFromInitdb(idOf(1), { major: 16 })).rejects.toMatchObject({
    kind: 'conflict',
    code: 'TIMELINE_EXISTS',
  });
  const branch = await tenant.createBranch(idOf(2), idOf(1));
  expect(await tenant.createBranch(idOf(2), idOf(1))).toBe(branch);
  expect(await tenant.createBranch(idOf(2), idOf(1), made.timeline.lastRecordLsn)).toBe(branch);
  await expect(tenant.createFromInitdb(idOf(2), { major: 17 })).rejects.toMatchObject({
    code: 'TIMELINE_EXISTS',
  });
  await expect(tenant.createBranch(idOf(1), idOf(2))).rejects.toMatchObject({ code: 'TIMELINE_EXISTS' });
  await world.stop();
  await world.start();
  const again = world.tenant.timeline(idOf(1));
  expect(await world.tenant.createFromInitdb(idOf(1), { major: 17 })).toBe(again);
});

test('a timeline that came about in another way is not the one that is to be made of initdb', async () => {
  const initialClusters = initdbClusters();
  await using world = await StorageWorld.open({ initialClusters });
  const tenant = await world.storage.attach(world.tenantId);
  // Of the same program, and of the same major.
  await initialClusters.withCluster(17, context.signal, (cluster) => tenant.createTimeline(idOf(1), cluster));
  await tenant.createFromInitdb(idOf(2), { major: 17 });
  const detached = await tenant.createBranch(idOf(3), idOf(2));
  expect(detached.timeline.systemIdentifier).toBe(tenant.timeline(idOf(2)).timeline.systemIdentifier);
  await world.storage.detachAncestor(tenant, idOf(3), 'no_ancestor_and_reparent');
  for (const number of [1, 3]) {
    expect(world.tenant.timeline(idOf(number)).timeline.ancestor).toBeUndefined();
    await expect(world.tenant.createFromInitdb(idOf(number), { major: 17 })).rejects.toMatchObject({
      kind: 'conflict',
      code: 'TIMELINE_EXISTS',
    });
  }
});
