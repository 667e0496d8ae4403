import { expect, test } from 'vitest';
import { BadInputWorld, context } from './bad-input-world.ts';

test('a storage engine at work shows what it does', async () => {
  await using made = await BadInputWorld.open({ settings: { compactionThreshold: 2, imageThreshold: 1 } });
  const { victim } = made;
  for (let count = 0; count < 3; count++) await victim.fill();
  await victim.active.upkeep.settled();
  victim.append(4);
  await victim.take();
  await victim.verify();
  await victim.active.timeline.remote.waitForUploads(context.signal);
  const labels = `{tenant_id="${victim.tenantId}",shard_id="0000",timeline_id="${victim.timelineId}"`;
  const { timeline } = victim.active;
  const metric = async (name: string, more = ''): Promise<number> =>
    (await made.metric(`pageserver_${name}${labels}${more}}`)) as number;
  expect(await metric('last_record_lsn')).toBe(timeline.lastRecordLsn);
  expect(await metric('disk_consistent_lsn')).toBe(timeline.diskConsistentLsn);
  expect(await metric('projected_remote_consistent_lsn')).toBe(timeline.diskConsistentLsn);
  expect(await metric('gc_cutoff_lsn')).toBe(timeline.gcCutoffLsn);
  expect(await metric('layer_count', ',level="open",kind="delta"')).toBe(1);
  expect(await metric('layer_bytes', ',level="open",kind="delta"')).toBeGreaterThan(4 * 8192);
  expect(await metric('layer_count', ',level="frozen",kind="delta"')).toBe(0);
  const layers = [...timeline.layers];
  const images = layers.filter(({ kind }) => kind === 'image');
  expect(images.length).toBeGreaterThan(0);
  expect(await metric('layer_count', ',level="l1",kind="image"')).toBe(images.length);
  const bytes = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  expect(await metric('resident_physical_size')).toBe(bytes);
  expect(await metric('timeline_layers_waiting')).toBe(0);
  expect(await metric('timeline_ingest_stopped')).toBe(0);
  expect(await made.metric('pageserver_resident_physical_size_global')).toBeGreaterThan(bytes);
  expect(await made.metric('pageserver_remote_layer_uploads_total')).toBeGreaterThan(layers.length);
  for (const operation of ['layer flush', 'compact', 'create images', 'gc']) {
    const count = await made.metric(
      `pageserver_storage_operations_seconds_global_count{operation="${operation}"}`,
    );
    expect(count, operation).toBeGreaterThan(0);
  }
  const hits = await made.metric(
    'pageserver_page_cache_read_hits_total{content_kind="page",task_kind="page-request"}',
  );
  expect(hits).toBeGreaterThan(0);
  expect(await made.metric('pageserver_page_cache_size_current_bytes{key_kind="page"}')).toBeGreaterThan(0);
});
