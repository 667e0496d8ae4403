import { type CompletedCommand, type CompletedOption, flagsWithValue } from './completed-command.ts';

/** For a file in `~/.config/fish/completions`. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path.length > 0).map(({ path }) => quoted(path.join(' ')));
  return `# Completions of varve for fish: varve completion fish > ~/.config/fish/completions/varve.fish
function __varve_at --description 'Whether the command that is written is this one'
  set -l place
  set -l before
  set -l words (commandline -opc)
  for word in $words[2..-1]
    if test "$word" = --
      return 1
    end
    if not contains -- "$before" ${flagsWithValue(commands).join(' ')}
      if contains -- (string join ' ' -- $place $word) ${paths.join(' ')}
        set place $place $word
      end
    end
    set before $word
  end
  test "$place" = "$argv[1]"
end
complete -c varve -e
complete -c varve -f
${commands.flatMap(linesOf).join('\n')}
`;
}

function linesOf({ path, subcommands, options }: CompletedCommand): string[] {
  const start = `complete -c varve -n ${quoted(`__varve_at ${quoted(path.join(' '))}`)}`;
  return [
    ...subcommands.map(({ name, description }) => `${start} -a ${quoted(name)} -d ${quoted(description)}`),
    ...options.map((option) => `${start} ${optionWords(option)}`),
  ];
}

function optionWords({ flags, description, value }: CompletedOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const values =
    value.kind === 'none'
      ? []
      : value.kind === 'choices'
        ? ['-x', `-a ${quoted(value.choices.join(' '))}`]
        : value.kind === 'directory'
          ? ['-x', "-a '(__fish_complete_directories)'"]
          : ['-r', '-F'];
  return [...names, ...values, `-d ${quoted(description)}`].join(' ');
}

/** As fish reads a text in single quotes. */
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
