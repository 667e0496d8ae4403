import { describe, expect, test } from 'vitest';
import { toLsn } from '../../base/lsn.ts';
import {
  type AcceptorMessage,
  type AppendResponse,
  decodeAcceptorMessage,
} from '../../contracts/acceptor-messages.ts';
import { NO_MEMBERSHIP } from '../../contracts/membership.ts';
import type { PageserverFeedback } from '../../contracts/pageserver-feedback.ts';
import { FeedbackChannel } from './feedback-channel.ts';
import { REPLIES_MAX, ReplyQueue } from './reply-queue.ts';
import { endingError } from './stream-ending.ts';

/** A proposer's end of a connection: takes what is sent, or does not. */
class Proposer {
  readonly received: AcceptorMessage[] = [];
  unsentBytes = 0;
  isClosed = false;
  #waiting: (() => void)[] = [];

  sendCopyData(body: Uint8Array): void {
    this.received.push(decodeAcceptorMessage(body));
  }

  drained(limitBytes: number): Promise<void> {
    if (this.unsentBytes <= limitBytes || this.isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  stopReading(): void {
    this.unsentBytes = 1024 * 1024;
  }

  readAgain(): void {
    this.unsentBytes = 0;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const response = (flushLsn: number): AppendResponse => ({
  kind: 'append-response',
  generation: 0,
  term: 1,
  flushLsn: toLsn(flushLsn),
  commitLsn: toLsn(0),
  hotStandbyFeedback: { time: 0n, xmin: 0n, catalogXmin: 0n },
  pageserverFeedback: undefined,
});

const greeting: AcceptorMessage = { kind: 'greeting', nodeId: 1, membership: NO_MEMBERSHIP, term: 1 };

const feedback = (lsn: number): PageserverFeedback => ({
  currentTimelineSizeBytes: 0,
  lastReceivedLsn: toLsn(lsn),
  diskConsistentLsn: toLsn(0),
  remoteConsistentLsn: toLsn(0),
  replyTime: 0n,
  shardNumber: 0,
  corruptionDetected: false,
});

const flushLsns = (messages: readonly AcceptorMessage[]): number[] =>
  messages.flatMap((message) => (message.kind === 'append-response' ? [message.flushLsn] : []));

describe('replies to a proposer', () => {
  test('SK-10: a proposer that does not read holds nobody up, and gets the newest when it reads again', async () => {
    const proposer = new Proposer();
    const replies = new ReplyQueue(proposer);
    proposer.stopReading();
    for (let lsn = 1; lsn <= 1000; lsn++) expect(replies.send(response(lsn))).toBeUndefined();
    expect(replies.length).toBe(1);
    expect(proposer.received).toEqual([]);
    proposer.readAgain();
    await replies.finish();
    expect(flushLsns(proposer.received)).toEqual([1000]);
  });

  test('SK-11: at most 16 replies wait; who asks for one more waits too, and none is lost', async () => {
    const proposer = new Proposer();
    const replies = new ReplyQueue(proposer);
    proposer.stopReading();
    for (let count = 0; count < REPLIES_MAX; count++) expect(replies.send(greeting)).toBeUndefined();
    const waiting = replies.send(greeting);
    expect(waiting).toBeInstanceOf(Promise);
    expect(replies.length).toBe(REPLIES_MAX);
    proposer.readAgain();
    await waiting;
    await replies.finish();
    expect(proposer.received).toHaveLength(REPLIES_MAX + 1);
  });

  test('SK-07: feedback goes to all proposers; a slow one gets the newest, and that nobody listens is in order', async () => {
    const channel = new FeedbackChannel();
    channel.publish(feedback(1));
    const [slow, quick] = [new Proposer(), new Proposer()];
    const queues = [slow, quick].map((proposer) => new ReplyQueue(proposer));
    for (const queue of queues) {
      expect(queue.send(response(5))).toBeUndefined();
      channel.listen((it) => queue.sendFeedback(it));
    }
    slow.stopReading();
    for (let lsn = 1; lsn <= 100; lsn++) channel.publish(feedback(lsn));
    slow.readAgain();
    await queues[0]?.finish();
    const received = (proposer: Proposer): (number | undefined)[] =>
      proposer.received.map((it) =>
        it.kind === 'append-response' ? it.pageserverFeedback?.lastReceivedLsn : -1,
      );
    expect(received(slow)).toEqual([undefined, 100]);
    expect(received(quick)).toEqual([undefined, ...Array.from({ length: 100 }, (_, index) => index + 1)]);
  });

  test('SK-08: feedback goes out only in a copy of the last AppendResponse, and never before there was one', () => {
    const proposer = new Proposer();
    const replies = new ReplyQueue(proposer);
    replies.sendFeedback(feedback(1));
    expect(replies.send(greeting)).toBeUndefined();
    replies.sendFeedback(feedback(2));
    expect(proposer.received).toEqual([greeting]);
    for (const lsn of [10, 20]) {
      expect(replies.send(response(lsn))).toBeUndefined();
      replies.sendFeedback(feedback(lsn));
    }
    expect(flushLsns(proposer.received)).toEqual([10, 10, 20, 20]);
  });
});

describe('how a stream ended', () => {
  const network = new Error('the network');
  const acceptor = new Error('the acceptor');
  test.each([
    ['in order', undefined, undefined, undefined],
    ['the network failed', network, undefined, network],
    ['the acceptor failed', undefined, acceptor, acceptor],
    ['both: the acceptor failed after the network', network, acceptor, network],
  ])('SK-15: %s', (_name, networkError, acceptorError, expected) => {
    expect(endingError({ networkError, acceptorError })).toBe(expected);
  });
});

test('what standbys have applied is told when it changes, and by what is repeated later', async () => {
  const proposer = new Proposer();
  const queue = new ReplyQueue(proposer);
  // No LSN is made up.
  queue.sendStandbyApply(toLsn(5));
  expect(proposer.received).toEqual([]);
  await queue.send(response(10));
  for (const lsn of [5, 5, 8]) queue.sendStandbyApply(toLsn(lsn));
  queue.sendFeedback(feedback(7));
  queue.sendStandbyApply(undefined);
  const told = proposer.received.map((each) => (each as AppendResponse).standbyApplyLsn);
  expect(told).toEqual([undefined, 5, 8, 8, undefined]);
  expect(proposer.received.every((each) => (each as AppendResponse).flushLsn === 10)).toBe(true);
});
