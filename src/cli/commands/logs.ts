import type { Command } from 'commander';
import { VarveError } from '../../base/errors.ts';
import type { LogLine } from '../../system/main.ts';
import type { CliContext } from '../context.ts';
import { parseCount } from '../option-values.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from '../system-directory.ts';

interface LogsFlags {
  readonly dir: string;
  readonly lines: number;
  readonly follow?: true;
}

export function registerLogs(program: Command, context: CliContext): void {
  program
    .command('logs')
    .description('show what the services of a system have logged last')
    .argument('[service]', 'one of them: without it all')
    .option('--dir <directory>', 'the system’s', DIRECTORY_DEFAULT)
    .option('-n, --lines <n>', 'of each log, from its end', parseCount, 20)
    .option('-f, --follow', 'go on with what comes, until Ctrl-C')
    .action((service: string | undefined, flags: LogsFlags) => run(context, service, flags));
}

async function run(
  context: CliContext,
  service: string | undefined,
  { dir, lines, follow }: LogsFlags,
): Promise<void> {
  const directory = `${resolveDirectory(dir)}/logs`;
  const { followLogs, LogTail, listLogs } = await import('../../system/main.ts');
  const names = await listLogs(context.files, directory);
  if (names.length === 0 || (service !== undefined && !names.includes(service))) {
    const there = names.length === 0 ? `in ${directory}` : `of “${service}”: there are ${names.join(', ')}`;
    throw new VarveError('not-found', 'NO_SUCH_LOG', `there is no log ${there}`);
  }
  const show = (line: LogLine): Promise<void> => showLine(context, service, line);
  const tail = await LogTail.open(context.files, directory, service, lines);
  for (const line of tail.last) await show(line);
  if (follow === true) await followLogs(tail, show);
}

async function showLine(
  { isJson, output }: CliContext,
  wanted: string | undefined,
  { service, line }: LogLine,
): Promise<void> {
  if (isJson) await output.writeJson({ service, line });
  else await output.write(wanted === undefined ? `${service}: ${line}\n` : `${line}\n`);
}
