import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AssertionError } from '../../src/base/errors.ts';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';
import { BadInputWorld, context, errorOf, type Side, VICTIM } from './bad-input-world.ts';

const BRANCH = parseTimelineId('b'.repeat(32));
const TWIG = parseTimelineId('c'.repeat(32));

async function indexPath({ bucketDirectory }: Side): Promise<string> {
  const names = (await readdir(bucketDirectory)).filter((name) => name.startsWith('timeline-index-'));
  return join(bucketDirectory, names.sort().at(-1) as string);
}

/** Moves the cutoff to the last record, as if all before were too old. */
async function forgetHistory({ active: { timeline } }: Side, leasedLsns: readonly Lsn[] = []): Promise<void> {
  while (timeline.gcCutoffLsn < timeline.lastRecordLsn) {
    await nodeClock.yieldToOthers();
    timeline.advanceGcCutoff(timeline.remote.visibleRemoteConsistentLsn, leasedLsns);
  }
}

test('timelines are archived behind their branches, and taken back before them', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  await victim.tenant.createBranch(BRANCH, VICTIM);
  const refused = { kind: 'precondition', code: 'TIMELINE_HAS_UNARCHIVED_BRANCHES' };
  await expect(victim.tenant.archiveTimeline(VICTIM)).rejects.toMatchObject(refused);
  await victim.tenant.archiveTimeline(BRANCH);
  await victim.tenant.archiveTimeline(VICTIM);
  const archivedAtMs = victim.active.timeline.archivedAtMs;
  expect(archivedAtMs).toBeGreaterThan(0);
  // Once more changes nothing; and what holds is in the bucket.
  await victim.tenant.archiveTimeline(VICTIM);
  await made.restart();
  expect(victim.active.timeline.archivedAtMs).toBe(archivedAtMs);
  await expect(victim.tenant.createBranch(TWIG, VICTIM)).rejects.toMatchObject({
    kind: 'precondition',
    code: 'ANCESTOR_ARCHIVED',
  });
  await expect(victim.tenant.unarchiveTimeline(BRANCH)).rejects.toMatchObject({
    kind: 'precondition',
    code: 'ANCESTOR_IS_ARCHIVED',
  });
  await victim.tenant.unarchiveTimeline(VICTIM);
  await victim.tenant.unarchiveTimeline(VICTIM);
  await victim.tenant.unarchiveTimeline(BRANCH);
  await made.restart();
  for (const { timeline } of victim.tenant.timelines) expect(timeline.archivedAtMs).toBeUndefined();
  // A branch that is being made counts as one that is not archived.
  const branching = victim.tenant.createBranch(TWIG, VICTIM);
  await victim.tenant.archiveTimeline(BRANCH);
  await expect(victim.tenant.archiveTimeline(VICTIM)).rejects.toMatchObject(refused);
  await branching;
  await victim.goesOn();
});

test('a branch below what can be read is refused, and so is another one of the same name', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const old = victim.active.timeline.lastRecordLsn;
  await victim.fill();
  const branch = await victim.tenant.createBranch(BRANCH, VICTIM);
  const refused = (reason: string) => ({
    kind: 'precondition',
    code: 'BAD_BRANCH_POINT',
    reason: expect.stringMatching(`^invalid branch start lsn: ${reason}`),
  });
  await expect(victim.tenant.createBranch(TWIG, BRANCH, old)).rejects.toMatchObject(
    refused('less than timeline ancestor lsn'),
  );
  await victim.fill();
  // Rounded down to the end of a record it begins where the other one does.
  expect(await victim.tenant.createBranch(BRANCH, VICTIM, (branch.timeline.initialLsn + 8) as Lsn)).toBe(
    branch,
  );
  await expect(victim.tenant.createBranch(BRANCH, VICTIM, old)).rejects.toMatchObject({
    code: 'TIMELINE_EXISTS',
  });
  await expect(
    victim.tenant.createBranch(BRANCH, VICTIM, victim.active.timeline.lastRecordLsn),
  ).rejects.toMatchObject({ code: 'TIMELINE_EXISTS' });
  await forgetHistory(victim);
  await expect(victim.tenant.createBranch(TWIG, VICTIM, old)).rejects.toMatchObject(
    refused('less than latest GC cutoff'),
  );
  expect(await victim.tenant.createBranch(BRANCH, VICTIM)).toBe(branch);
  expect(await victim.tenant.createBranch(BRANCH, VICTIM, branch.timeline.initialLsn)).toBe(branch);
});

test('broken timelines can be deleted, also where nobody can read their index', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  await victim.tenant.createBranch(BRANCH, VICTIM);
  const index = await indexPath(victim);
  await made.restart(() => writeFile(index, 'nothing'));
  const { tenant } = victim;
  expect(tenant.brokenTimelines).toHaveLength(2);
  // The branch is known to be one, so it goes first.
  await expect(tenant.deleteTimeline(VICTIM)).rejects.toMatchObject({
    code: 'TIMELINE_HAS_BRANCHES',
    reason: expect.stringContaining(BRANCH),
  });
  // The other timeline might be what the damaged one descends from.
  const [other] = made.others as [Side];
  await expect(tenant.deleteTimeline(other.timelineId)).rejects.toMatchObject({
    code: 'TIMELINE_HAS_BRANCHES',
  });
  // Of the branch nobody knows whether the damaged one is a branch.
  await expect(tenant.deleteTimeline(BRANCH)).rejects.toMatchObject({ code: 'TIMELINE_HAS_BRANCHES' });
});

test('a timeline with a damaged index and no branches is deleted for good, and others may go then', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  const [other] = made.others as [Side];
  await victim.fill();
  const index = await indexPath(victim);
  await made.restart(() => writeFile(index, 'nothing'));
  await victim.tenant.deleteTimeline(VICTIM);
  expect(await readdir(victim.bucketDirectory)).toEqual([]);
  expect(victim.tenant.brokenTimelines).toEqual([]);
  await made.othersGoOn();
  // What it kept the other from is over.
  expect(await other.active.upkeep.collectGarbage()).toBeGreaterThanOrEqual(0);
  await other.tenant.deleteTimeline(other.timelineId);
  await made.restart();
  expect(victim.tenant.timelines).toEqual([]);
});

test('a broken timeline whose index can be read is deleted', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const good = await readFile(await indexPath(victim));
  expect(good.length).toBeGreaterThan(0);
  await victim.tenant.createBranch(BRANCH, VICTIM);
  const directory = join(victim.localDirectory, '..', BRANCH);
  await made.restart(async () => {
    await rm(directory, { recursive: true });
    await writeFile(directory, 'in the way');
  });
  expect(victim.tenant.brokenTimelines.map(({ timelineId }) => timelineId)).toEqual([BRANCH]);
  await rm(directory);
  await victim.tenant.deleteTimeline(BRANCH);
  await victim.tenant.deleteTimeline(VICTIM);
  await made.restart();
  expect(victim.tenant.timelines).toHaveLength(1);
});

test('leases: exact LSNs, longer and never shorter, and none is lost by a restart', async () => {
  const settings = { historyBytes: 0, historyMs: 0, leaseMs: 60_000 };
  await using made = await BadInputWorld.open({ settings });
  const { victim } = made;
  await victim.fill();
  const old = victim.active.timeline.lastRecordLsn;
  const { upkeep } = victim.active;
  const first = upkeep.leaseLsn(old);
  expect(first.validUntilMs).toBeGreaterThan(Date.now() + 50_000);
  expect(upkeep.leaseLsn(old, 1000)).toEqual(first);
  expect(upkeep.leaseLsn(old, 120_000).validUntilMs).toBeGreaterThan(first.validUntilMs);
  await victim.fill();
  await forgetHistory(victim, [old]);
  expect(await victim.markOf(1, old)).toBeGreaterThan(0);
  const between = (old + 8) as Lsn;
  expect(await errorOf(() => victim.markOf(1, between))).toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
  const { lastRecordLsn } = victim.active.timeline;
  expect(() => upkeep.leaseLsn(between)).toThrowError(expect.objectContaining({ code: 'LSN_BELOW_CUTOFF' }));
  expect(() => upkeep.leaseLsn((lastRecordLsn + 8) as Lsn)).toThrowError(
    expect.objectContaining({ code: 'LSN_NOT_REACHED' }),
  );

  // The next life knows which LSNs below the cutoff were leased, and not until when: for the length of a lease nothing is
  // collected, and these can be read and renewed.
  await victim.active.timeline.remote.waitForUploads(context.signal);
  const { gcCutoffLsn } = victim.active.timeline;
  await made.restart();
  const next = victim.active;
  expect(await next.upkeep.collectGarbage()).toBe(0);
  expect(await next.upkeep.rewriteBottom()).toBe(false);
  expect(next.timeline.gcCutoffLsn).toBe(gcCutoffLsn);
  expect(await victim.markOf(1, old)).toBeGreaterThan(0);
  expect(next.upkeep.leaseLsn(old).validUntilMs).toBeGreaterThan(Date.now() + 50_000);
  for (const lost of [between, (old - 8) as Lsn, (gcCutoffLsn - 8) as Lsn, next.timeline.initialLsn]) {
    expect(await errorOf(() => victim.markOf(1, lost))).toMatchObject({ code: 'LSN_BELOW_CUTOFF' });
    expect(() => next.upkeep.leaseLsn(lost)).toThrowError(
      expect.objectContaining({ code: 'LSN_BELOW_CUTOFF' }),
    );
  }
  next.upkeep.leaseLsn(gcCutoffLsn);
});

test('a lease of where a branch begins outlives the branch and a restart', async () => {
  const settings = { historyBytes: 0, historyMs: 0, leaseMs: 60_000 };
  await using made = await BadInputWorld.open({ settings });
  const { victim } = made;
  await victim.fill();
  const point = victim.active.timeline.lastRecordLsn;
  await victim.tenant.createBranch(BRANCH, VICTIM, point);
  await victim.fill();
  await forgetHistory(victim);
  expect(victim.active.timeline.gcCutoffLsn).toBeGreaterThan(point);
  victim.active.upkeep.leaseLsn(point);
  await victim.tenant.deleteTimeline(BRANCH);
  await victim.active.timeline.remote.waitForUploads(context.signal);
  await made.restart();
  victim.active.upkeep.leaseLsn(point);
  expect(await victim.markOf(1, point)).toBeGreaterThan(0);
});

test('a batch that broke off by a bug is no reason to wait for ever', async () => {
  await using made = await BadInputWorld.open();
  const { victim } = made;
  await victim.fill();
  const { timeline } = victim.active;
  victim.append();
  await victim.take();
  const { publish } = timeline;
  timeline.publish = () => {
    throw new AssertionError('made up');
  };
  victim.append();
  const waiting = errorOf(async () => {
    await nodeClock.yieldToOthers();
    await timeline.putAuxiliaryFile('a/b', new Uint8Array(3));
  });
  expect(await errorOf(() => victim.take())).toMatchObject({ kind: 'assertion' });
  timeline.publish = publish;
  const failed = { kind: 'unavailable', code: 'INGEST_FAILED', reason: expect.stringContaining('made up') };
  expect(await waiting).toMatchObject(failed);
  expect(timeline.ingestStop).toMatchObject(failed);
  const another = await TimelineIntake.start(timeline);
  expect(await errorOf(() => another.take(victim.walFrom(another.position)))).toMatchObject(failed);
  expect(timeline.ingestStop).toMatchObject(failed);
  expect(await errorOf(() => timeline.flush())).toMatchObject(failed);
  await victim.verify();
  // The timeline that is loaded anew has it from WAL.
  await made.restart();
  await victim.goesOn();
  await made.othersGoOn();
});
