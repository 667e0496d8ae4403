import type { Command } from 'commander';
import { BadRequestError } from '../../base/errors.ts';
import type { CliContext } from '../context.ts';
import { addSelectionOptions, type SelectionOptions, showSelected } from '../record-selection.ts';

export function registerWalGrep(wal: Command, context: CliContext): void {
  const command = wal
    .command('grep')
    .description('print the records that touched a page, a relation or a transaction')
    .argument('<paths...>', 'segment files, a directory of them such as pg_wal, or a data directory');
  addSelectionOptions(command)
    .addHelpText(
      'after',
      '\nNeeds --relation, --page or --xid. A relation is also touched by what creates, truncates or drops its files; with' +
        '\n--fork vm, by heap records that clear bits of the visibility map without naming its page. --xid finds a' +
        "\nsubtransaction in its parent's commit too. Ends with 1 if there is no such record, with 8 at damage.",
    )
    .action((paths: string[], options: SelectionOptions) => grep(context, paths, options));
}

async function grep(context: CliContext, paths: readonly string[], options: SelectionOptions): Promise<void> {
  if (options.relation === undefined && options.page === undefined && options.xid === undefined) {
    throw new BadRequestError('MISSING_ARGUMENT', 'say what to look for: --relation, --page or --xid');
  }
  if ((await showSelected(context, paths, options)) === 0) context.answerNo();
}
