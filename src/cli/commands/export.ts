import type { Command } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import type { CliContext } from '../context.ts';
import { type ProjectFlags, withProjectOptions } from '../control-session.ts';
import { formatBytes } from '../progress.ts';
import { branchOption, databaseOption, schemaOption, withTransfer } from './import.ts';

interface ExportFlags extends ProjectFlags {
  readonly to: string;
  readonly branch?: string;
  readonly database: string;
  readonly schema?: readonly string[];
  readonly skipUnsupported?: true;
  readonly force?: true;
}

export function registerExport(program: Command, context: CliContext): void {
  withProjectOptions(
    program
      .command('export')
      .description('write a database of a branch as a script of SQL, for psql or ‘varve import’'),
  )
    .requiredOption('--to <path>', 'a file; - is standard output')
    .addOption(branchOption())
    .addOption(databaseOption())
    .addOption(schemaOption())
    .option('--skip-unsupported', 'leave out what cannot be carried, and say what')
    .option('--force', 'replace a file that is there')
    .action((flags: ExportFlags) => run(context, flags));
}

async function run(context: CliContext, flags: ExportFlags): Promise<void> {
  if (flags.to === '-' && context.isJson) {
    throw new BadRequestError(
      'CONFLICTING_OPTIONS',
      '--json goes with a file: standard output has the script',
    );
  }
  const { exportToFile } = await import('../../transfer/main.ts');
  await withTransfer(context, flags, false, async ({ target, signal, progress }) => {
    const summary = await exportToFile(
      {
        source: target,
        schemas: flags.schema,
        isSkipping: flags.skipUnsupported === true,
        to: flags.to,
        isReplacing: flags.force === true,
        signal,
      },
      progress,
    );
    progress.clear();
    const { tables, rows, bytes, notes } = summary;
    for (const note of context.isJson ? [] : notes) context.diagnostics.write(`${note}\n`);
    if (flags.to === '-') return;
    if (context.isJson)
      await context.output.writeJson({ exported: { to: flags.to, tables, rows, bytes, notes } });
    else
      await context.output.write(
        `wrote ${tables} tables, ${rows} rows (${formatBytes(bytes)}) to ${flags.to}\n`,
      );
  });
}
