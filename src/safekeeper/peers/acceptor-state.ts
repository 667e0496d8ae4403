import { VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn, parseLsn } from '../../base/lsn.ts';
import { checkTermHistory, historyUpTo, type TermHistory } from '../../contracts/term-history.ts';
import type { ClientResult } from '../../libpq/client/client-connection.ts';
import type { QueryResult } from '../../libpq/server/result.ts';
import type { Acceptor } from '../consensus/acceptor.ts';
import type { ServerInfo } from '../consensus/persistent-state.ts';

/** What a safekeeper must know of another one to take WAL from it: the answer to ACCEPTOR_STATE. */
export interface AcceptorState {
  readonly generation: number;
  readonly term: number;
  /** Cut to what is flushed. */
  readonly termHistory: TermHistory;
  readonly flushLsn: Lsn;
  readonly localStartLsn: Lsn;
  readonly server: ServerInfo;
}

const COLUMNS = [
  'generation',
  'term',
  'term_history',
  'flush_lsn',
  'local_start_lsn',
  'pg_version',
  'system_id',
  'wal_seg_size',
];

/** One row of text; the history as `term HI/LO`, separated by commas. */
export function writeAcceptorState(acceptor: Acceptor): QueryResult {
  const { termHistory, localStartLsn, server } = acceptor.persistent;
  const history = historyUpTo(termHistory, acceptor.flushLsn);
  return {
    columns: COLUMNS.map((name) => ({ name, type: 'text' })),
    rows: [
      [
        String(acceptor.membership.generation),
        String(acceptor.term),
        history.map(({ term, lsn }) => `${term} ${formatLsn(lsn)}`).join(','),
        formatLsn(acceptor.flushLsn),
        formatLsn(localStartLsn),
        String(server.pgVersion),
        String(server.systemIdentifier),
        String(server.segmentBytes),
      ],
    ],
    commandTag: 'ACCEPTOR_STATE',
  };
}

/** @throws VarveError ‘corruption’ where it is no such answer */
export function readAcceptorState({ columns, rows }: ClientResult): AcceptorState {
  const row = rows[0];
  if (rows.length !== 1 || row === undefined || columns.join() !== COLUMNS.join())
    refuse('its columns are others');
  const [generation, term, history, flushLsn, localStartLsn, pgVersion, systemIdentifier, segmentBytes] = row;
  const termHistory = (history ?? '')
    .split(',')
    .filter((entry) => entry !== '')
    .map((entry) => {
      const [entryTerm, lsn] = entry.split(' ');
      return { term: readNumber(entryTerm), lsn: readLsn(lsn) };
    });
  checkTermHistory(termHistory);
  return {
    generation: readNumber(generation),
    term: readNumber(term),
    termHistory,
    flushLsn: readLsn(flushLsn),
    localStartLsn: readLsn(localStartLsn),
    server: {
      pgVersion: readNumber(pgVersion),
      systemIdentifier: /^[0-9]{1,20}$/.test(systemIdentifier ?? '')
        ? BigInt(systemIdentifier as string)
        : refuse(`"${systemIdentifier}" is no system identifier`),
      segmentBytes: readNumber(segmentBytes),
    },
  };
}

function readNumber(text: string | null | undefined): number {
  const value = /^[0-9]{1,16}$/.test(text ?? '') ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : refuse(`"${text}" is no whole number`);
}

function readLsn(text: string | null | undefined): Lsn {
  return text == null ? refuse('an LSN is missing') : parseLsn(text);
}

function refuse(reason: string): never {
  throw new VarveError('corruption', 'BAD_ANSWER', `the answer to ACCEPTOR_STATE is wrong: ${reason}`);
}
