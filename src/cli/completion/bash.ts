import { type CompletedCommand, type CompletedOption, flagsWithValue, quoted } from './completed-command.ts';

/** Defines `_varve`, and registers it. Works with bash 3.2 and later, without the package bash-completion. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path.length > 0).map(({ path }) => quoted(path.join(' ')));
  return `# Completions of varve for bash: source <(varve completion bash)
_varve() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous='' path='' word='' index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    previous="$word"
    word="\${COMP_WORDS[index]}"
    case "$word" in --) return 0 ;; esac
    case "$previous" in ${flagsWithValue(commands).join('|')}) continue ;; esac
    case "\${path:+$path }$word" in
      ${paths.join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  previous="$word"
  case "$path" in
${commands.map(caseOf).join('\n')}
  esac
}
complete -o bashdefault -o default -F _varve varve
`;
}

function caseOf({ path, subcommands, options }: CompletedCommand): string {
  const names = subcommands.map(({ name }) => name).join(' ');
  const flags = options.flatMap((option) => option.flags).join(' ');
  return `    ${quoted(path.join(' '))})
      case "$previous" in
${options
  .filter(({ value }) => value.kind !== 'none')
  .map(valueCase)
  .join('\n')}
      esac
      case "$current" in
        -*) COMPREPLY=($(compgen -W ${quoted(flags)} -- "$current")) ;;
        *) COMPREPLY=($(compgen -W ${quoted(names)} -- "$current")) ;;
      esac
      ;;`;
}

function valueCase({ flags, value }: CompletedOption): string {
  const words =
    value.kind === 'choices'
      ? `COMPREPLY=($(compgen -W ${quoted(value.choices.join(' '))} -- "$current"))`
      : '';
  // Without any answer bash goes on with the names of files, which are as good for what is not known.
  const directories = value.kind === 'directory' ? 'COMPREPLY=($(compgen -d -- "$current"))' : '';
  return `        ${flags.join('|')}) ${words || directories || ':'}; return 0 ;;`;
}
