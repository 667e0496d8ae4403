import { type CompletedCommand, type CompletedOption, flagsWithValue, quoted } from './completed-command.ts';

/** For a file `_varve` on `fpath`, or to be sourced after `compinit`. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path.length > 0).map(({ path }) => quoted(path.join(' ')));
  return `#compdef varve
# Completions of varve for zsh: source <(varve completion zsh), after compinit
_varve() {
  local place='' before='' word='' index
  local -a described
  for ((index = 2; index < CURRENT; index++)); do
    before="$word"
    word="\${words[index]}"
    case "$word" in --) _files; return ;; esac
    case "$before" in ${flagsWithValue(commands).join('|')}) continue ;; esac
    case "\${place:+$place }$word" in
      ${paths.join('|')}) place="\${place:+$place }$word" ;;
    esac
  done
  case "$place" in
${commands.map(caseOf).join('\n')}
  esac
}
if [ "\${funcstack[1]}" = '_varve' ]; then _varve "$@"; else compdef _varve varve; fi
`;
}

function caseOf({ path, subcommands, options }: CompletedCommand): string {
  const flags = options.flatMap((option) => option.flags.map((flag) => described(flag, option.description)));
  const names = subcommands.map(({ name, description }) => described(name, description));
  return `    ${quoted(path.join(' '))})
      case "$word" in
${options
  .filter(({ value }) => value.kind !== 'none')
  .map(valueCase)
  .join('\n')}
      esac
      if [[ "\${words[CURRENT]}" == -* ]]; then
        described=(${flags.join(' ')})
        _describe -o 'option' described
      else
        described=(${names.join(' ')})
        ${names.length === 0 ? '_files' : "_describe 'command' described"}
      fi
      ;;`;
}

/** A colon ends the name. */
const described = (name: string, description: string): string =>
  quoted(`${name.replaceAll(':', '\\:')}:${description.replaceAll(':', '\\:')}`);

function valueCase({ flags, value }: CompletedOption): string {
  const action =
    value.kind === 'choices'
      ? `compadd -- ${value.choices.map(quoted).join(' ')}`
      : value.kind === 'directory'
        ? '_files -/'
        : '_files';
  return `        ${flags.join('|')}) ${action}; return ;;`;
}
