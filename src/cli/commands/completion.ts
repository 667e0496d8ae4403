import { Argument, type Command } from 'commander';
import { bashCompletion } from '../completion/bash.ts';
import { type CompletedCommand, completedCommands } from '../completion/completed-command.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';
import type { CliContext } from '../context.ts';

const SHELLS: Readonly<Record<string, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export function registerCompletion(program: Command, context: CliContext): void {
  program
    .command('completion')
    .description('print what makes a shell complete commands and options')
    .addArgument(new Argument('<shell>').choices(Object.keys(SHELLS)))
    .addHelpText(
      'after',
      '\nbash: source <(varve completion bash), in ~/.bashrc; zsh: the same, in ~/.zshrc after compinit;' +
        '\nfish: varve completion fish > ~/.config/fish/completions/varve.fish',
    )
    .action(async (shell: string) => {
      const script = (SHELLS[shell] as (typeof SHELLS)[string])(completedCommands(program));
      if (context.isJson) await context.output.writeJson({ shell, script });
      else await context.output.write(script);
    });
}
