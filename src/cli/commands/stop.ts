import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from '../system-directory.ts';

interface StopFlags {
  readonly dir: string;
  readonly now?: true;
}

export function registerStop(program: Command, context: CliContext): void {
  program
    .command('stop')
    .description('end a system that runs, in order')
    .option('--dir <directory>', 'the system’s', DIRECTORY_DEFAULT)
    .option('--now', 'at once: what was committed is there all the same')
    .addHelpText('after', '\nEnds with 1 where nothing runs.')
    .action((flags: StopFlags) => run(context, flags));
}

async function run({ isJson, output, answerNo }: CliContext, { dir, now }: StopFlags): Promise<void> {
  const { stopSystem } = await import('../../system/main.ts');
  const directory = resolveDirectory(dir);
  const hasStopped = await stopSystem(directory, now === true);
  if (!hasStopped) answerNo();
  if (isJson) await output.writeJson({ stopped: hasStopped });
  else await output.write(hasStopped ? 'stopped\n' : `nothing runs on ${directory}\n`);
}
