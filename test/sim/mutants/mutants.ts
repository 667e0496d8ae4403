import type { Mutant } from '../../support/mutants.ts';

const one = (name: string, seedsMax: number, file: string, search: string, replacement: string): Mutant => ({
  name,
  seedsMax,
  edits: [{ file, search, replacement }],
});

const ACCEPTOR = 'safekeeper/consensus/acceptor.ts';
const WAL_STORAGE = 'safekeeper/wal/wal-storage.ts';
const MACHINE = 'proposer/consensus/proposer-machine.ts';
const MEMBERSHIP = 'contracts/membership.ts';

export const MUTANTS: readonly Mutant[] = [
  one(
    'a vote is not persisted',
    100,
    ACCEPTOR,
    'if (voteGiven) yield* this.#persist({ ...this.#persistent, term: request.term });',
    'if (voteGiven) this.#persistent = { ...this.#persistent, term: request.term };',
  ),
  one('WAL is acknowledged before its sync', 100, WAL_STORAGE, 'await this.#file?.sync();', ''),
  one(
    'WAL of a lower term is accepted',
    200,
    ACCEPTOR,
    'if (this.term > request.term) return this.#refusal();',
    '',
  ),
  one(
    'a minority commits',
    100,
    MEMBERSHIP,
    'ascending[set.length - majorityOf(set.length)] ?? 0',
    'ascending[set.length - 1] ?? 0',
  ),
  one(
    'a safekeeper counts twice',
    100,
    MEMBERSHIP,
    `set.map(({ id }) => positionOf(id)).sort((left, right) => left - right);
    return ascending[set.length - majorityOf(set.length)] ?? 0;`,
    `[...set, ...set.slice(0, 1)].map(({ id }) => positionOf(id)).sort((left, right) => left - right);
    return ascending[set.length + 1 - majorityOf(set.length)] ?? 0;`,
  ),
  one(
    'a joint configuration needs one of its sets only',
    200,
    MEMBERSHIP,
    'return Math.min(...positions);',
    'return Math.max(...positions);',
  ),
  one(
    'the log is not cut',
    100,
    ACCEPTOR,
    "this.#log = yield { kind: 'truncate-log', lsn: startLsn };",
    "if (this.#log.writeLsn < startLsn) this.#log = yield { kind: 'truncate-log', lsn: startLsn };",
  ),
  one(
    'a restart takes for WAL what it has only looked at',
    100,
    'safekeeper/wal/find-wal.ts',
    'return { endLsn, oldestSegment, hasStraySegments };',
    'return { endLsn: reader.position, oldestSegment, hasStraySegments };',
  ),
  one(
    'a restart does not make durable what it finds',
    500,
    'safekeeper/wal/find-wal.ts',
    'if (endLsn > startLsn) await rewriteTail(directory, segments, startLsn, endLsn);',
    '',
  ),
  one(
    'the commit LSN is beyond what is flushed',
    100,
    ACCEPTOR,
    'max(this.#commitLsn, min(this.#announcedCommitLsn, this.#log.flushLsn))',
    'max(this.#commitLsn, this.#announcedCommitLsn)',
  ),
  {
    name: 'generations are not compared',
    firstSeed: 510,
    seedsMax: 1000,
    edits: [
      {
        file: ACCEPTOR,
        search: 'if (generation === this.membership.generation) return;',
        replacement: 'return;',
      },
      {
        file: MACHINE,
        search:
          'if (vote.generation !== this.#options.membership.generation) return leftGeneration(peer, vote);',
        replacement: '',
      },
      {
        file: MACHINE,
        search:
          'if (response.generation !== this.#options.membership.generation) return leftGeneration(peer, response);',
        replacement: '',
      },
    ],
  },
  one(
    'a vote is given before what was written is durable',
    400,
    ACCEPTOR,
    'yield* this.#flush();\n    const voteGiven',
    'const voteGiven',
  ),
  one(
    'the control file is renamed and the directory not synced',
    100,
    'io/replace-file.ts',
    'await files.syncDirectory(directory);',
    '',
  ),
  one('the control file is renamed before it is synced', 100, 'io/replace-file.ts', 'await file.sync();', ''),
  one(
    'the donor is the one with least',
    100,
    'proposer/consensus/election.ts',
    'return newer > 0 ? vote : best;',
    'return newer < 0 ? vote : best;',
  ),
  {
    ...one(
      'the donor is the one with most, whatever its term',
      400,
      'proposer/consensus/election.ts',
      'lastTerm(vote) - lastTerm(best) || vote.flushLsn - best.flushLsn',
      'vote.flushLsn - best.flushLsn',
    ),
    firstSeed: 340,
  },
  one(
    'a full segment is renamed and the directory not synced',
    400,
    WAL_STORAGE,
    'await this.#directory.sync();\n    this.#isNameDurable = true;\n    this.#syncedLsn',
    'this.#isNameDurable = true;\n    this.#syncedLsn',
  ),
  one(
    'a full segment is not synced',
    400,
    WAL_STORAGE,
    'await file.sync();\n    this.#file = undefined;',
    'this.#file = undefined;',
  ),
  one(
    'a vote shows terms beyond the end of the log',
    400,
    ACCEPTOR,
    'termHistory: historyUpTo(this.#persistent.termHistory, this.flushLsn),\n    };',
    'termHistory: this.#persistent.termHistory,\n    };',
  ),
];
