import type { Command } from 'commander';
import { VarveError } from '../../base/errors.ts';
import { systemStatusSchema } from '../../contracts/control-api-status.ts';
import type { CliContext } from '../context.ts';
import { type ControlFlags, withControl, withControlOptions } from '../control-session.ts';
import { branchLines, branchTable, systemLines } from '../status-text.ts';
import { resolveDirectory } from '../system-directory.ts';

interface StatusFlags extends ControlFlags {
  readonly short?: true;
}

export function registerStatus(program: Command, context: CliContext): void {
  const command = program
    .command('status')
    .description(
      'show how far each part is on each branch, what would be lost if only the bucket were left, and how servers have started',
    )
    .argument('[branch]', 'one of them, by its name or id: without it all')
    .option('--short', 'a line for each branch');
  withControlOptions(command).action((branch: string | undefined, flags: StatusFlags) =>
    withControl(context, flags, async ({ client, signal }) => {
      const status = await client.status(signal);
      const branches =
        branch === undefined
          ? status.branches
          : status.branches.filter((each) => [each.branch, each.branchId].includes(branch));
      if (branch !== undefined && branches.length === 0) {
        throw new VarveError('not-found', 'BRANCH_NOT_FOUND', `there is no branch “${branch}”`);
      }
      const { isJson, output } = context;
      if (isJson) {
        await output.writeJson({
          ...(await placeOf(flags)),
          ...systemStatusSchema.encode({ ...status, branches }),
        });
        return;
      }
      const lines = flags.short === true ? ['', ...branchTable(branches)] : branches.flatMap(branchLines);
      await output.write(`${[...systemLines(status), ...lines].join('\n')}\n`);
    }),
  );
}

/** What runs, and where. Of one that runs elsewhere only its API is known. */
async function placeOf({ dir, api }: ControlFlags): Promise<object> {
  if (api !== undefined) return { pid: null, url: null, api };
  const { findRunning } = await import('../../system/main.ts');
  const running = await findRunning(resolveDirectory(dir));
  const { url, api: own } = running?.ready ?? { url: null, api: null };
  return { pid: running?.pid ?? null, url, api: own };
}
