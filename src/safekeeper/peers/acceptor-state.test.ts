import { expect, test } from 'vitest';
import { toLsn } from '../../base/lsn.ts';
import { NO_MEMBERSHIP } from '../../contracts/membership.ts';
import type { ClientResult } from '../../libpq/client/client-connection.ts';
import type { Acceptor } from '../consensus/acceptor.ts';
import { readAcceptorState, writeAcceptorState } from './acceptor-state.ts';

const server = { pgVersion: 170_011, systemIdentifier: 2n ** 64n - 1n, segmentBytes: 1_048_576 };
const HISTORY = [
  { term: 1, lsn: toLsn(0x100_0028) },
  { term: 4, lsn: toLsn(0x1_0000_0000) },
  { term: 9, lsn: toLsn(0x3_0000_0000) },
];
const ACCEPTOR = {
  membership: { ...NO_MEMBERSHIP, generation: 3 },
  term: 9,
  flushLsn: toLsn(0x2_0000_0000),
  persistent: { termHistory: HISTORY, localStartLsn: toLsn(0x100_0028), server },
} as unknown as Acceptor;

function answerOf(acceptor: Acceptor): ClientResult {
  const { columns, rows, commandTag } = writeAcceptorState(acceptor);
  return { columns: columns.map(({ name }) => name), rows, commandTag };
}

test('the state is read as it was written, with the history that the flushed WAL vouches for', () => {
  expect(readAcceptorState(answerOf(ACCEPTOR))).toEqual({
    generation: 3,
    term: 9,
    termHistory: HISTORY.slice(0, 2),
    flushLsn: ACCEPTOR.flushLsn,
    localStartLsn: 0x100_0028,
    server,
  });
  const empty = {
    ...ACCEPTOR,
    persistent: { ...ACCEPTOR.persistent, termHistory: [] },
  } as unknown as Acceptor;
  expect(readAcceptorState(answerOf(empty)).termHistory).toEqual([]);
});

test('an answer that is none is refused', () => {
  const good = answerOf(ACCEPTOR);
  const row = good.rows[0] as readonly string[];
  const withValue = (index: number, value: string | null): ClientResult => ({
    ...good,
    rows: [row.map((old, at) => (at === index ? value : old))],
  });
  for (const bad of [
    { ...good, rows: [] },
    { ...good, rows: [row, row] },
    { ...good, columns: ['generation'] },
    withValue(0, '-1'),
    withValue(1, null),
    withValue(1, '9007199254740993'),
    withValue(2, '1 0/28,1 0/30'),
    withValue(2, '1'),
    withValue(3, 'x'),
    withValue(4, null),
    withValue(6, '0x1'),
  ]) {
    expect(() => readAcceptorState(bad)).toThrow();
  }
});
