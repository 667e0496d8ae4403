import { expect, test } from 'vitest';
import { INVALID_LSN, type Lsn, toLsn } from '../../base/lsn.ts';
import { type SenderPlace, SenderRegistry, type SenderState } from './sender-registry.ts';

const SILENCE_MS = 10_000;

function join(registry: SenderRegistry, id: number, joinedLsn: number | undefined): SenderPlace {
  const place = registry.register(id, `peer-${id}`, 'standby');
  place.update({ joinedLsn: joinedLsn as Lsn | undefined });
  return place;
}

const at = (applyLsn: number, heardAtMs: number): Partial<SenderState> => ({
  standby: { writeLsn: toLsn(applyLsn), flushLsn: toLsn(applyLsn), applyLsn: toLsn(applyLsn) },
  heardAtMs,
});

test('a standby counts from when it has caught up until it is silent or gone', () => {
  const registry = new SenderRegistry();
  let told = 0;
  using _listening = registry.onStandby(() => told++);
  const first = join(registry, 1, 100);
  expect(registry.standbyApplyLsn(0)).toBeUndefined();
  first.update(at(90, 0));
  expect(registry.standbyApplyLsn(0)).toBeUndefined();
  first.update(at(100, 0));
  expect(registry.standbyApplyLsn(0)).toBe(100);
  const second = join(registry, 2, 200);
  second.update(at(50, 0));
  expect(registry.standbyApplyLsn(0)).toBe(100);
  second.update(at(250, 5000));
  first.update(at(300, 1000));
  expect(registry.standbyApplyLsn(5000)).toBe(250);
  expect(registry.standbyApplyLsn(1000 + SILENCE_MS)).toBe(250);
  expect(registry.standbyApplyLsn(5000 + SILENCE_MS)).toBeUndefined();
  second[Symbol.dispose]();
  expect(registry.standbyApplyLsn(5000)).toBe(300);
  expect(told).toBe(6);
});

test('who reads WAL and applies nothing is no standby', () => {
  const registry = new SenderRegistry();
  // A receiver of WAL, or a safekeeper that catches up.
  join(registry, 1, 100).update(at(INVALID_LSN, 0));
  // Who reads what is not committed yet.
  join(registry, 2, undefined).update(at(500, 0));
  const pageserverFeedback = {
    currentTimelineSizeBytes: 0,
    lastReceivedLsn: toLsn(500),
    diskConsistentLsn: toLsn(500),
    remoteConsistentLsn: toLsn(500),
    replyTime: 0n,
    shardNumber: 0,
    corruptionDetected: false,
  };
  join(registry, 3, 100).update({ ...at(500, 0), pageserverFeedback });
  expect(registry.standbyApplyLsn(0)).toBeUndefined();
});
