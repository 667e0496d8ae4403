import { REQUEST_GET_PAGE } from '../../../src/contracts/page-messages.ts';
import { leavesNothing } from '../leak-scenario.ts';
import * as protocol from '../protocol-scenarios.ts';
import * as streams from '../stream-scenarios.ts';

/** What hunts mutants, by name. */
export const SCENARIOS = {
  'PS-01 order': () => streams.keepsOrder(),
  'PS-01 cold': () => streams.keepsOrder(streams.COLD),
  'PS-02 queue': streams.queuedHoldsNothing,
  'PS-04 connection': streams.connectionOutlivesTimeline,
  'PS-05 gate': streams.leavesBeforeSending,
  'PS-06 stall': streams.stalledClientStopsItself,
  'PS-06 content': streams.slowClientGetsItsOwn,
  'PS-07 stall': streams.stalledClientIsLetGo,
  'PS-07 lost client': () => streams.lostClientWakesExecutor(REQUEST_GET_PAGE),
  'PS-11 lookups': streams.looksUpOnce,
  'PS-12 leaks': leavesNothing,
  checksums: protocol.setsChecksums,
  LSNs: protocol.checksLsns,
  waits: protocol.waitsForWal,
} as const;
