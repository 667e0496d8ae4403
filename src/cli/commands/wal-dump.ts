import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import {
  addSelectionOptions,
  type SelectionOptions,
  showSelected,
  visitSelected,
} from '../record-selection.ts';
import { RecordStatistics, statisticsLines, sumRows } from '../record-statistics.ts';
import { ReportWriter } from '../report-writer.ts';

export function registerWalDump(wal: Command, context: CliContext): void {
  const command = wal
    .command('dump')
    .description('print the records of WAL, one on a line, with their decoded bodies')
    .argument('<paths...>', 'segment files, a directory of them such as pg_wal, or a data directory');
  addSelectionOptions(command)
    .option('--stats', 'instead of the records print how many there are of each kind, and how large')
    .addHelpText(
      'after',
      '\nVersion and segment size come from the first page of the WAL. Ends with 0 where the WAL or the files end, with 8' +
        '\nat damage, after all records before it; `varve wal verify` says more about that.',
    )
    .action((paths: string[], options: SelectionOptions & { stats?: true }) =>
      options.stats === true ? showStatistics(context, paths, options) : dump(context, paths, options),
    );
}

async function dump(context: CliContext, paths: readonly string[], options: SelectionOptions): Promise<void> {
  await showSelected(context, paths, options);
}

async function showStatistics(
  context: CliContext,
  paths: readonly string[],
  options: SelectionOptions,
): Promise<void> {
  const statistics = new RecordStatistics();
  try {
    await visitSelected(context, paths, options, (record) => statistics.add(record));
  } finally {
    // Also before an error: what comes before the damage has been counted.
    const writer = new ReportWriter(context);
    const rows = statistics.rows();
    if (context.isJson) {
      const { records, recordBytes, imageBytes } = sumRows(rows);
      writer.json({ records, recordBytes, imageBytes, kinds: rows });
    } else if (rows.length > 0) {
      for (const line of statisticsLines(rows)) writer.line(line);
    }
    await writer.flush();
  }
}
