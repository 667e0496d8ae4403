import { describe, expect, test } from 'vitest';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import type { VoteResponse } from '../../contracts/acceptor-messages.ts';
import type { TermHistory } from '../../contracts/term-history.ts';
import { checkVoteFits, electionOutcome, type PreviousElections } from './election.ts';

const lsn = (value: number): Lsn => toLsn(value);
const history = (...entries: [number, number][]): TermHistory =>
  entries.map(([term, start]) => ({ term, lsn: lsn(start) }));
const vote = (flush: number, termHistory: TermHistory, truncate = 0): VoteResponse => ({
  kind: 'vote-response',
  generation: 0,
  term: 9,
  voteGiven: true,
  flushLsn: lsn(flush),
  truncateLsn: lsn(truncate),
  termHistory,
});

describe('the outcome of an election', () => {
  test('goes on from the newest term, not from the longest log', () => {
    const votes = [vote(300, history([1, 100])), vote(200, history([1, 100], [2, 150]), 120), vote(0, [])];
    expect(electionOutcome(9, votes, lsn(7))).toEqual({
      term: 9,
      startLsn: 200,
      truncateLsn: 120,
      termHistory: history([1, 100], [2, 150], [9, 200]),
      donorTerm: 2,
    });
  });

  test('of the same term goes on from the longest log', () => {
    const votes = [vote(200, history([1, 100]), 150), vote(300, history([1, 100]), 90)];
    expect(electionOutcome(9, votes, lsn(7))).toMatchObject({ startLsn: 300, truncateLsn: 150 });
  });

  test('begins where the compute says if nobody has anything', () => {
    const outcome = electionOutcome(1, [vote(0, []), vote(0, [])], lsn(100));
    expect(outcome).toMatchObject({ startLsn: 100, termHistory: history([1, 100]), donorTerm: 0 });
    expect(() => electionOutcome(1, [vote(0, [])], lsn(0))).toThrow(
      expect.objectContaining({ code: 'EMPTY_LOG' }),
    );
  });
});

describe('a proposer that goes on', () => {
  const previous: PreviousElections = { terms: [5, 7], startLsn: lsn(200), donorTerm: 3, askedTerm: 8 };
  const outcome = (donorTerm: number, start: number): ReturnType<typeof electionOutcome> =>
    electionOutcome(9, [vote(start, history([donorTerm, 100]))], lsn(0));

  test.each<[string, number, number]>([
    ['its last term', 7, 300],
    ['an earlier term of its own', 5, 250],
    ['what it started from', 3, 200],
  ])('may if the log ends with %s', (_, donorTerm, start) => {
    expect(() => checkVoteFits(outcome(donorTerm, start), previous)).not.toThrow();
  });

  test.each<[string, number, number]>([
    ['WAL of a successor', 8, 300],
    ['WAL of somebody between', 6, 300],
    ['more of the term that it started from', 3, 210],
    ['less of the term that it started from', 3, 190],
    ['other WAL up to the same position', 2, 200],
  ])('is fenced if the log ends with %s', (_, donorTerm, start) => {
    expect(() => checkVoteFits(outcome(donorTerm, start), previous)).toThrow(
      expect.objectContaining({ kind: 'fenced', code: 'LOG_OF_ANOTHER' }),
    );
  });

  test('for the first time may from anything', () => {
    expect(() => checkVoteFits(outcome(8, 300), undefined)).not.toThrow();
  });
});
