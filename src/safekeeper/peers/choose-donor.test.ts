import { describe, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { toLsn } from '../../base/lsn.ts';
import type { TimelineState } from '../../contracts/status-stream.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import { chooseDonor, type Receiver, type ToldState } from './choose-donor.ts';

const MEMBERS = [1, 2, 3].map((id) => ({ id, host: `sk${id}`, pgPort: 5454 }));
const OWN: Receiver = {
  nodeId: 1,
  membership: { generation: 4, members: MEMBERS, newMembers: undefined },
  term: 5,
  lastLogTerm: 5,
  flushLsn: toLsn(1000),
  persistent: { timelineStartLsn: toLsn(100) } as PersistentState,
};
const AHEAD: TimelineState = {
  tenantId: parseTenantId('1'.repeat(32)),
  timelineId: parseTimelineId('2'.repeat(32)),
  generation: 4,
  term: 5,
  lastLogTerm: 5,
  flushLsn: toLsn(2000),
  commitLsn: toLsn(900),
  backupLsn: toLsn(0),
  remoteConsistentLsn: toLsn(0),
  peerHorizonLsn: toLsn(0),
  localStartLsn: toLsn(100),
  isActive: false,
};

const told = (nodeId: number, change: Partial<TimelineState> = {}): ToldState => ({
  nodeId,
  state: { ...AHEAD, ...change },
});

describe('who gives its WAL', () => {
  test('SK-26: the one that is ahead by last term, then by flush LSN', () => {
    expect(chooseDonor(OWN, [])).toBeUndefined();
    expect(chooseDonor(OWN, [told(2)])?.nodeId).toBe(2);
    expect(chooseDonor(OWN, [told(2), told(3, { flushLsn: toLsn(2001) })])?.nodeId).toBe(3);
    const newer = told(3, { term: 6, lastLogTerm: 6, flushLsn: toLsn(500) });
    expect(chooseDonor(OWN, [newer, told(2)])?.nodeId).toBe(3);
    expect(chooseDonor({ ...OWN, lastLogTerm: 4, flushLsn: toLsn(9000) }, [told(2)])?.nodeId).toBe(2);
  });

  test.each<[string, ToldState]>([
    ['is not ahead', told(2, { flushLsn: toLsn(1000) })],
    ['is of a lower term', told(2, { term: 4, lastLogTerm: 4 })],
    ['has no WAL of its own term: somebody was voted for, and may write', told(2, { term: 6 })],
    ['is of an earlier generation', told(2, { generation: 3 })],
    ['is of a later generation', told(2, { generation: 5 })],
    ['is no member', told(7)],
    ['is this one', told(1)],
    ['has no WAL where this log ends', told(2, { localStartLsn: toLsn(1001) })],
    ['has no WAL', told(2, { localStartLsn: toLsn(0) })],
  ])('SK-26: nobody who %s', (_why, other) => {
    expect(chooseDonor(OWN, [other])).toBeUndefined();
  });

  test('SK-26: nobody without a configuration, and one of either set of a joint one', () => {
    const none = { ...OWN, membership: { generation: 0, members: [], newMembers: undefined } };
    expect(chooseDonor(none, [told(2, { generation: 0 })])).toBeUndefined();
    const [first, second, third] = MEMBERS as [(typeof MEMBERS)[0], (typeof MEMBERS)[0], (typeof MEMBERS)[0]];
    const joint = { generation: 4, members: [first, second], newMembers: [first, third] };
    expect(chooseDonor({ ...OWN, membership: joint }, [told(3)])?.nodeId).toBe(3);
  });
});
