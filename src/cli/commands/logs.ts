import type { Command } from 'commander';
import { VarveError } from '../../base/errors.ts';
import { readWholeFile } from '../../io/read-whole-file.ts';
import type { CliContext } from '../context.ts';
import { parseCount } from '../option-values.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from '../system-directory.ts';

const SUFFIX = '.log';

interface LogsFlags {
  readonly dir: string;
  readonly lines: number;
}

export function registerLogs(program: Command, context: CliContext): void {
  program
    .command('logs')
    .description('show what the services of a system have logged last')
    .argument('[service]', 'one of them: without it all')
    .option('--dir <directory>', 'the system’s', DIRECTORY_DEFAULT)
    .option('-n, --lines <n>', 'of each log, from its end', parseCount, 20)
    .action((service: string | undefined, flags: LogsFlags) => run(context, service, flags));
}

async function run(
  { files, isJson, output }: CliContext,
  service: string | undefined,
  { dir, lines }: LogsFlags,
): Promise<void> {
  const directory = `${resolveDirectory(dir)}/logs`;
  const names = (await files.list(directory))
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length))
    .sort();
  if (service !== undefined && !names.includes(service)) {
    const reason = `there is no log of “${service}”: there are ${names.join(', ')}`;
    throw new VarveError('not-found', 'NO_SUCH_LOG', reason);
  }
  for (const name of service === undefined ? names : [service]) {
    const text = new TextDecoder().decode(await readWholeFile(files, `${directory}/${name}${SUFFIX}`));
    const all = text.split('\n').filter((line) => line !== '');
    for (const line of all.slice(Math.max(0, all.length - lines))) {
      if (isJson) await output.writeJson({ service: name, line });
      else await output.write(service === undefined ? `${name}: ${line}\n` : `${line}\n`);
    }
  }
}
