import type { Command, Option } from 'commander';

/** What may stand behind an option: nothing, or a name of one kind. */
export type Value =
  | { readonly kind: 'none' | 'file' | 'directory' | 'other' }
  | { readonly kind: 'choices'; readonly choices: readonly string[] };

export interface CompletedOption {
  /** `-n`, `--lines`. */
  readonly flags: readonly string[];
  readonly description: string;
  readonly value: Value;
}

export interface CompletedCommand {
  /** Names from the program's on, without it: of itself it is empty. */
  readonly path: readonly string[];
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
}

/** All commands of a program as they are shown in its help, each with the options that it understands. */
export function completedCommands(program: Command): CompletedCommand[] {
  const help = program.createHelp();
  const global = help.visibleOptions(program).map(completedOption);
  const walk = (command: Command, path: readonly string[]): CompletedCommand[] => {
    const own = help.visibleOptions(command).map(completedOption);
    const isNew = ({ flags }: CompletedOption): boolean =>
      !own.some((each) => each.flags.includes(flags.at(-1) as string));
    const subcommands = help.visibleCommands(command);
    const isProgram = path.length === 0;
    return [
      {
        path,
        subcommands: subcommands.map((each) => ({ name: each.name(), description: each.description() })),
        options: isProgram
          ? own
          : [...own, ...global.filter((each) => isNew(each) && !each.flags.includes('--version'))],
      },
      // The command for help is made up for the help only.
      ...subcommands
        .filter((each) => command.commands.includes(each))
        .flatMap((each) => walk(each, [...path, each.name()])),
    ];
  };
  return walk(program, []);
}

function completedOption(option: Option): CompletedOption {
  const { short, long, description } = option;
  const flags = [short, long].filter((flag): flag is string => flag !== undefined && flag !== null);
  return { flags, description, value: valueKindOf(option) };
}

function valueKindOf({ flags, required, optional, argChoices }: Option): Value {
  if (argChoices !== undefined) return { kind: 'choices', choices: argChoices };
  if (!required && !optional) return { kind: 'none' };
  if (flags.includes('<directory>')) return { kind: 'directory' };
  return { kind: /<(file|path)>/.test(flags) ? 'file' : 'other' };
}

/** Flags behind which a value stands. */
export const flagsWithValue = (commands: readonly CompletedCommand[]): string[] => [
  ...new Set(
    commands.flatMap(({ options }) =>
      options.filter(({ value }) => value.kind !== 'none').flatMap(({ flags }) => flags),
    ),
  ),
];

/** A text in single quotes, as sh, bash and zsh read it. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
