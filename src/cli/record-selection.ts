/** The options by which `wal dump` and `wal grep` choose records, and the showing of what they choose. */
import type { Command } from 'commander';
import { BadRequestError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import type { CliContext } from './context.ts';
import {
  parseCount,
  parseFork,
  parseLsnOption,
  parsePage,
  parseRelation,
  parseResourceManager,
} from './option-values.ts';
import { Progress } from './progress.ts';
import { matchesFilter, type RecordFilter } from './record-filter.ts';
import { recordJson, recordLine } from './record-text.ts';
import { ReportWriter } from './report-writer.ts';
import { WalSource } from './wal-source.ts';

export interface SelectionOptions {
  readonly start?: Lsn;
  readonly end?: Lsn;
  readonly limit?: number;
  readonly rmgr?: number;
  readonly xid?: number;
  readonly relation?: RelationLocator;
  readonly block?: number;
  readonly fork?: number;
  readonly page?: { readonly relation: RelationLocator; readonly block: number };
}

export function addSelectionOptions(command: Command): Command {
  return command
    .option('--start <lsn>', 'begin with the first record at or after this LSN', parseLsnOption)
    .option('--end <lsn>', 'stop before the first record at or after this LSN', parseLsnOption)
    .option('--limit <n>', 'stop after this many records', parseCount)
    .option('--rmgr <name>', 'only records of this resource manager, such as Heap', parseResourceManager)
    .option(
      '--xid <n>',
      'only records of this transaction: its own, and those that end, prepare or assign it',
      parseCount,
    )
    .option(
      '--relation <spc/db/rel>',
      'only records that touch this relation, by the number of its file (pg_relation_filenode)',
      parseRelation,
    )
    .option('--block <n>', 'with --relation: only records that touch this block', parseCount)
    .option('--page <spc/db/rel/n>', 'the same as --relation with --block', parsePage)
    .option('--fork <name>', 'only records that touch this fork: main, fsm, vm or init', parseFork);
}

/** @throws BadRequestError for options that make no sense together. */
export function toFilter(options: SelectionOptions): RecordFilter {
  const { rmgr, xid, fork, page } = options;
  if (page !== undefined && (options.relation !== undefined || options.block !== undefined)) {
    throw new BadRequestError('CONFLICTING_OPTIONS', '--page says what --relation and --block would say');
  }
  const relation = page?.relation ?? options.relation;
  const block = page?.block ?? options.block;
  if (block !== undefined && relation === undefined) {
    throw new BadRequestError('MISSING_ARGUMENT', '--block needs --relation');
  }
  return {
    ...(rmgr === undefined ? {} : { resourceManager: rmgr }),
    ...(xid === undefined ? {} : { xid }),
    ...(relation === undefined ? {} : { relation }),
    ...(fork === undefined ? {} : { fork }),
    ...(block === undefined ? {} : { block }),
  };
}

/**
 * Reads WAL and hands each chosen record over, up to the limit. `flush` is awaited now and then.
 * Returns how many records there were. Errors: see WalSource.
 */
async function forEachSelected(
  context: CliContext,
  paths: readonly string[],
  options: SelectionOptions,
  progress: Progress,
  visitor: { onRecord(record: DecodedRecord): void; flush(): Promise<void> },
): Promise<number> {
  const filter = toFilter(options);
  const { end = Number.POSITIVE_INFINITY, limit = Number.POSITIVE_INFINITY } = options;
  const source = await WalSource.open(context.files, paths);
  const record = new DecodedRecord(source.segments.version);
  let count = 0;
  if (limit === 0) return count;
  try {
    await source.scan(
      {
        onRecord: (reader) => {
          if (reader.startLsn >= end) return false;
          reader.decode(record);
          if (!matchesFilter(record, filter)) return true;
          visitor.onRecord(record);
          count++;
          return count < limit;
        },
        afterChunk: async (doneBytes, totalBytes) => {
          progress.report(doneBytes, totalBytes);
          await visitor.flush();
        },
      },
      options.start,
    );
  } finally {
    progress.clear();
  }
  return count;
}

/** Writes the chosen records. Returns how many there were. */
export async function showSelected(
  context: CliContext,
  paths: readonly string[],
  options: SelectionOptions,
): Promise<number> {
  const progress = new Progress(context, 'reading WAL');
  const writer = new ReportWriter(context, progress);
  return forEachSelected(context, paths, options, progress, {
    onRecord: (record) =>
      context.isJson ? writer.json(recordJson(record)) : writer.line(recordLine(record)),
    flush: () => writer.flush(),
  });
}

/** Hands the chosen records over without writing anything. */
export async function visitSelected(
  context: CliContext,
  paths: readonly string[],
  options: SelectionOptions,
  onRecord: (record: DecodedRecord) => void,
): Promise<void> {
  const flush = async (): Promise<void> => undefined;
  await forEachSelected(context, paths, options, new Progress(context, 'reading WAL'), { onRecord, flush });
}
