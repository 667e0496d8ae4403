import type { Command } from 'commander';
import { VarveError } from '../../base/errors.ts';
import type { CliContext } from '../context.ts';
import { FILE_DEFAULT } from './file.ts';
import { applyConfiguration, originOf, readConfiguration } from './resolve.ts';
import { sectionNamesOf } from './sections.ts';

/** It says what is wrong with a configuration, beside all else. */
const LOOKING = 'doctor';
const faults = new WeakMap<Command, VarveError>();

/** What is wrong with the configuration of a command that runs all the same. */
export const configurationFault = (command: Command): VarveError | undefined => faults.get(command);

const HELP_FLAGS = ['-h', '--help'];

/** Has the environment and a file count for the commands that a program has by now, wherever no flag is given. */
export function configureProgram(program: Command, context: CliContext): void {
  program
    .option('--config <file>', `options of commands, in TOML (${FILE_DEFAULT} in the working directory)`)
    .option('--no-config', 'options are given by flags only: no file and no variable VARVE_… counts');
  for (const group of groupsOf(program)) {
    group.hook('preSubcommand', async (parent, command) => {
      const isHelp = parent.args.some((arg) => HELP_FLAGS.includes(arg));
      if (isHelp || sectionNamesOf(command).length === 0) return;
      try {
        applyConfiguration(command, await readConfiguration(program, context));
      } catch (error) {
        if (command.name() !== LOOKING || !(error instanceof VarveError)) throw error;
        faults.set(command, error);
      }
    });
  }
  program.hook('preAction', (_, command) => preferDirectory(command));
}

/** For another process of the program, which is to go by the same configuration. */
export function configurationArguments(command: Command): string[] {
  const { config } = command.optsWithGlobals<{ readonly config?: string | false }>();
  if (config === undefined) return [];
  return config === false ? ['--no-config'] : ['--config', config];
}

const groupsOf = (command: Command): Command[] =>
  command.commands.length === 0 ? [] : [command, ...command.commands.flatMap(groupsOf)];

/** Whoever names a directory by a flag means it, and not the API that a file names. */
function preferDirectory(command: Command): void {
  const given = (key: string): boolean => originOf(command, key).kind === 'flag';
  if (!given('dir') || given('api') || !sectionNamesOf(command).includes('client')) return;
  command.setOptionValue('api', undefined);
  if (!given('token-path')) command.setOptionValue('tokenPath', undefined);
}
