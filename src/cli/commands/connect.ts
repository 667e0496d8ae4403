import type { Command } from 'commander';
import { VarveError } from '../../base/errors.ts';
import { clientAddress } from '../../contracts/connection-string.ts';
import type { Endpoint } from '../../contracts/control-api.ts';
import type { CliContext } from '../context.ts';
import { findUsable } from '../control-endpoints.ts';
import { type ProjectFlags, parseReference, withControl, withProjectOptions } from '../control-session.ts';
import { describeFailure } from '../failure.ts';
import { resultText } from '../result-text.ts';

interface ConnectFlags extends ProjectFlags {
  readonly command?: string;
  /** `false`: --no-psql */
  readonly psql: boolean;
}

export function registerConnect(program: Command, context: CliContext): void {
  withProjectOptions(
    program
      .command('connect')
      .description('open a SQL prompt on a branch: psql, where it is on PATH, or our own'),
  )
    .argument('<branch>', 'name or id', parseReference)
    .argument('[psql-arguments...]', 'after --: for psql')
    .option('-c, --command <sql>', 'run these statements, and end')
    .option('--no-psql', 'our own, in any case')
    .addHelpText(
      'after',
      '\nWithout a terminal it reads statements from standard input. -c and --json are our own’s, which ends with the first' +
        '\nerror. Ours goes by PGUSER, PGDATABASE and PGPASSWORD.',
    )
    .action((branch: string, parameters: string[], flags: ConnectFlags) =>
      run(context, branch, parameters, flags),
    );
}

async function run(
  context: CliContext,
  branch: string,
  parameters: readonly string[],
  flags: ConnectFlags,
): Promise<void> {
  const isOwn = flags.command !== undefined || context.isJson || !flags.psql;
  if (isOwn && parameters.length > 0) {
    const reason = 'arguments of psql go neither with -c nor with --json or --no-psql';
    throw new VarveError('bad-request', 'CONFLICTING_OPTIONS', reason);
  }
  const { findPsql, runPsql, runSql } = await import('../../client/main.ts');
  const psql = isOwn ? undefined : findPsql();
  if (psql === undefined && parameters.length > 0) {
    const reason =
      'psql is not on PATH: install it (on Debian: apt install postgresql-client), or leave its arguments out';
    throw new VarveError('precondition', 'NO_PSQL', reason);
  }
  let found: { readonly endpoint: Endpoint; readonly url: string } | undefined;
  await withControl(context, flags, async (session) => {
    found = await findUsable(session, flags.project, branch);
  });
  const { endpoint, url } = found as NonNullable<typeof found>;
  if (psql !== undefined) {
    await runPsql(psql, [url, ...parameters]);
    return;
  }
  const address = clientAddress(endpoint) as NonNullable<ReturnType<typeof clientAddress>>;
  await runSql(address, flags.command, branch, {
    onResult: (result) =>
      context.isJson ? context.output.writeJson(result) : context.output.write(resultText(result)),
    onError: async (error) => context.diagnostics.write(describeFailure(error, false).text),
    onNote: (text) => context.output.write(`${text}\n`),
  });
}
