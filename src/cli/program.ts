import { Command } from 'commander';
import { registerBranch } from './commands/branch.ts';
import { registerCompletion } from './commands/completion.ts';
import { registerCompute } from './commands/compute.ts';
import { registerConfig } from './commands/config.ts';
import { registerConnect } from './commands/connect.ts';
import { registerControl } from './commands/control.ts';
import { registerDevTimeline } from './commands/dev-timeline.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerEndpoint } from './commands/endpoint.ts';
import { registerExport } from './commands/export.ts';
import { registerImport } from './commands/import.ts';
import { registerLayerDraw } from './commands/layer-draw.ts';
import { registerLayerDump } from './commands/layer-dump.ts';
import { registerLayerList } from './commands/layer-list.ts';
import { registerLogs } from './commands/logs.ts';
import { registerPageDiff } from './commands/page-diff.ts';
import { registerPageShow } from './commands/page-show.ts';
import { registerPageserver } from './commands/pageserver.ts';
import { registerProject } from './commands/project.ts';
import { registerProposer } from './commands/proposer.ts';
import { registerSafekeeper } from './commands/safekeeper.ts';
import { registerStart } from './commands/start.ts';
import { registerStatus } from './commands/status.ts';
import { registerStop } from './commands/stop.ts';
import { registerUrl } from './commands/url.ts';
import { registerVersion } from './commands/version.ts';
import { registerWalDump } from './commands/wal-dump.ts';
import { registerWalGrep } from './commands/wal-grep.ts';
import { registerWalRedoFile } from './commands/wal-redo-file.ts';
import { registerWalVerify } from './commands/wal-verify.ts';
import { configureProgram } from './configuration/configure-program.ts';
import type { CliContext } from './context.ts';

/**
 * The command line as a whole. A module in commands/ adds its own with `.command()`, which hands the settings made
 * here down to it (`.addCommand()` would not).
 * @param writeError takes what commander has to say, such as help that was not asked for
 */
export function makeProgram(context: CliContext, writeError: (text: string) => void): Command {
  const program = new Command('varve')
    .description('PostgreSQL whose storage is apart from its compute: any page at any LSN, instant branches')
    .version(`varve ${context.version}`, '-V, --version', 'print the version of Varve')
    .option('--json', 'print JSON, one value on a line; an error is one object on standard error')
    .helpCommand(true)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.output.write(text),
      writeErr: context.isJson ? () => undefined : writeError,
      // Errors are printed in one place, failure.ts, whoever has raised them.
      outputError: () => undefined,
    })
    .addHelpText('after', '\nExit codes: docs/exit-codes.md');

  registerVersion(program, context);
  registerStart(program, context);
  registerStop(program, context);
  registerStatus(program, context);
  registerLogs(program, context);
  registerConfig(program, context);
  registerDoctor(program, context);
  registerProject(program.command('project').description('make, show and delete projects'), context);
  registerBranch(program.command('branch').description('make branches, and move them in time'), context);
  registerEndpoint(
    program.command('endpoint').description('start and stop the servers of branches'),
    context,
  );
  registerUrl(program, context);
  registerConnect(program, context);
  registerImport(program, context);
  registerExport(program, context);
  registerSafekeeper(program, context);
  registerPageserver(program, context);
  registerControl(program, context);
  registerCompute(program, context);
  const proposer = program.command('proposer').description("take a server's WAL to safekeepers");
  registerProposer(proposer, context);
  const dev = program.command('dev').description('what there is to try parts out, without a control plane');
  registerDevTimeline(dev, context);
  const wal = program.command('wal').description("look into PostgreSQL's WAL");
  registerWalDump(wal, context);
  registerWalVerify(wal, context);
  registerWalGrep(wal, context);
  registerWalRedoFile(wal, context);
  const layer = program.command('layer').description("look into a pageserver's layer files");
  registerLayerList(layer, context);
  registerLayerDump(layer, context);
  registerLayerDraw(layer, context);
  const page = program.command('page').description('look into pages, of relation files or of a timeline');
  registerPageShow(page, context);
  registerPageDiff(page, context);
  registerCompletion(program, context);
  // The last: it goes by the commands that there are.
  configureProgram(program, context);
  return program;
}
