import { test } from 'vitest';
import {
  REQUEST_DATABASE_SIZE,
  REQUEST_EXISTS,
  REQUEST_GET_PAGE,
  REQUEST_NBLOCKS,
  REQUEST_SLRU_SEGMENT,
} from '../../src/contracts/page-messages.ts';
import * as scenarios from '../page-service/stream-scenarios.ts';

const TAGS = [
  REQUEST_EXISTS,
  REQUEST_NBLOCKS,
  REQUEST_GET_PAGE,
  REQUEST_DATABASE_SIZE,
  REQUEST_SLRU_SEGMENT,
] as const;

test('PS-01: 10 000 requests in one go are answered in their order, in batches of 32 at most', async () => {
  await scenarios.keepsOrder();
});

test('PS-01: … also where pages have to be read from files', async () => {
  await scenarios.keepsOrder(scenarios.COLD);
});

test('PS-02: a queued batch keeps no timeline from being shut down', async () => {
  await scenarios.queuedHoldsNothing();
});

test.each(TAGS)('PS-03: what request %i waits for ends with its timeline', async (tag) => {
  await scenarios.waitsEndWithTimeline(tag);
});

test('PS-04: a connection outlives its timelines', async () => {
  await scenarios.connectionOutlivesTimeline();
});

test('PS-05: nobody is in a timeline’s gate while answers are sent', async () => {
  await scenarios.leavesBeforeSending();
});

test('PS-06: a client that never reads stops itself and nobody else', { timeout: 60_000 }, async () => {
  await scenarios.stalledClientStopsItself();
});

test('PS-06: a client that reads late gets its own pages', async () => {
  await scenarios.slowClientGetsItsOwn();
});

test('PS-07: a client that takes nothing is let go of', async () => {
  await scenarios.stalledClientIsLetGo();
});

test('PS-07: the end of the reading side wakes the answering side', async () => {
  await scenarios.idleReaderWakesExecutor();
});

test.each(TAGS)('PS-07: a client that goes ends what its request %i waits for', async (tag) => {
  await scenarios.lostClientWakesExecutor(tag);
});

test('PS-11: no timeline is looked up for a request, and 64 connections cost no more than one', {
  timeout: 60_000,
}, async () => {
  await scenarios.looksUpOnce();
});
