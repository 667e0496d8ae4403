import type { Command } from 'commander';
import { Option } from 'commander';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import { clientAddress } from '../../contracts/connection-string.ts';
import type { Endpoint } from '../../contracts/control-api.ts';
import type { CliContext } from '../context.ts';
import { findUsable } from '../control-endpoints.ts';
import {
  type ControlSession,
  type ProjectFlags,
  parseReference,
  withControl,
  withProjectOptions,
} from '../control-session.ts';
import { parsePositive } from '../option-values.ts';
import { formatBytes } from '../progress.ts';
import { TransferProgress } from '../transfer-progress.ts';

interface ImportFlags extends ProjectFlags {
  readonly from?: string;
  readonly fromFile?: string;
  readonly branch?: string;
  readonly database: string;
  readonly schema?: readonly string[];
  readonly jobs: number;
  /** A path; `false`: --no-pg-dump; undefined: the one on PATH. */
  readonly pgDump?: string | boolean;
  readonly skipUnsupported?: true;
  readonly intoExisting?: true;
}

const JOBS_MAX = 32;

export const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
];

export const databaseOption = (): Option =>
  new Option('--database <name>', 'of the branch').default('postgres');
export const schemaOption = (): Option =>
  new Option('--schema <name>', 'only this one; may be given again').argParser(collect);
export const branchOption = (): Option =>
  new Option('--branch <branch>', 'name or id; the project’s default branch').argParser(parseReference);

export function registerImport(program: Command, context: CliContext): void {
  withProjectOptions(
    program
      .command('import')
      .description('bring the schema and data of a running PostgreSQL, or of a script, into a branch'),
  )
    .addOption(
      new Option('--from <url>', 'of a server: postgres://USER:PASSWORD@HOST:PORT/DATABASE').conflicts(
        'fromFile',
      ),
    )
    .option('--from-file <path>', 'a script of ‘varve export’ or of pg_dump; - is standard input')
    .addOption(branchOption())
    .addOption(databaseOption())
    .addOption(schemaOption().conflicts('fromFile'))
    .addOption(
      new Option('--jobs <n>', 'copy this many tables at once, into a new database')
        .argParser(parsePositive)
        .default(1),
    )
    .option('--pg-dump <path>', 'read by this program; else the one on PATH where it fits')
    .option('--no-pg-dump', 'read by ourselves in any case')
    .option('--skip-unsupported', 'leave out what cannot be carried, and say what')
    .option('--into-existing', 'into a database that is not empty')
    .addHelpText('after', '\nAll comes, or nothing: after an error or Ctrl-C the branch is as it was before.')
    .action((flags: ImportFlags, command: Command) => {
      if (flags.from === undefined && flags.fromFile === undefined) {
        command.error("error: one of '--from <url>' and '--from-file <path>' is needed", {
          code: 'commander.missingMandatoryOptionValue',
        });
      }
      return run(context, flags);
    });
}

async function run(context: CliContext, flags: ImportFlags): Promise<void> {
  const { checkUrl, importFromFile, importFromServer } = await import('../../transfer/main.ts');
  if (flags.from !== undefined) checkUrl(flags.from);
  if (flags.jobs > JOBS_MAX)
    throw new BadRequestError('INVALID_ARGUMENT', `--jobs takes at most ${JOBS_MAX}`);
  if (flags.fromFile !== undefined && flags.jobs > 1) {
    throw new BadRequestError(
      'CONFLICTING_OPTIONS',
      '--jobs goes without --from-file: a script runs from its beginning to its end',
    );
  }
  await withTransfer(context, flags, true, async ({ target, signal, progress }) => {
    const common = { target, isIntoExisting: flags.intoExisting === true, signal };
    const summary =
      flags.fromFile === undefined
        ? await importFromServer(
            {
              ...common,
              url: flags.from as string,
              schemas: flags.schema,
              jobs: flags.jobs,
              isSkipping: flags.skipUnsupported === true,
              pgDump: flags.pgDump ?? true,
            },
            progress,
          )
        : await importFromFile(common, flags.fromFile, progress);
    progress.clear();
    const { tables, rows, bytes, notes } = summary;
    if (context.isJson) {
      await context.output.writeJson({ imported: { database: flags.database, tables, rows, bytes, notes } });
      return;
    }
    for (const note of notes) context.diagnostics.write(`${note}\n`);
    await context.output.write(
      `imported ${tables} tables, ${rows} rows (${formatBytes(bytes)}) into the database ${flags.database}\n`,
    );
  });
}

interface Transfer {
  readonly target: { readonly host: string; readonly port: number; readonly database: string };
  readonly signal: AbortSignal;
  readonly progress: TransferProgress;
}

/** Finds the branch's server, and shows how far it is. @param isWriting whether a read-only one does not do */
export async function withTransfer(
  context: CliContext,
  flags: ProjectFlags & { readonly branch?: string; readonly database: string },
  isWriting: boolean,
  work: (transfer: Transfer) => Promise<void>,
): Promise<void> {
  let found: Endpoint | undefined;
  await withControl(context, flags, async (session) => {
    const branch = flags.branch ?? (await findDefault(session, flags.project));
    ({ endpoint: found } = await findUsable(session, flags.project, branch));
    if (isWriting && found.kind !== 'primary') {
      const reason = `the branch ${branch} has only a read-only server that runs: make or start its primary`;
      throw new VarveError('precondition', 'READ_ONLY_ENDPOINT', reason);
    }
  });
  const address = clientAddress(found as Endpoint) as NonNullable<ReturnType<typeof clientAddress>>;
  const { untilInterrupted } = await import('../../client/main.ts');
  const progress = new TransferProgress(context);
  try {
    const target = { host: address.host, port: address.port, database: flags.database };
    await untilInterrupted((signal) => work({ target, signal, progress }));
  } finally {
    progress.clear();
  }
}

async function findDefault({ client, signal }: ControlSession, project: string): Promise<string> {
  const branches = await client.branches(project, signal);
  const found = branches.find(({ isDefault }) => isDefault);
  if (found !== undefined) return found.name;
  throw new VarveError(
    'not-found',
    'BRANCH_NOT_FOUND',
    `the project ${project} has no default branch: name one with --branch`,
  );
}
