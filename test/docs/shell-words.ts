/** What ends a command, or is not of its words: operators, with what stands behind a redirection. */
const OPERATOR = /^(?:[0-9]?>>?\s*(?:&\d|[^\s;|&()]+)|&&|\|\||[;&|()\n])/;

/** One word: quoted parts, and what is in none. */
const WORD = /^(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\;&|()<>])+/;

/**
 * The commands of a piece of a shell's program, each as its words without quotes. It knows what documents use: comments, lines
 * that go on, substitutions, redirections and simple loops, whose words `for … in …` and `done` are commands of no meaning.
 */
export function commandsIn(program: string): string[][] {
  // What is substituted is a command like the others.
  let rest = program
    .replace(/\\\n\s*/g, ' ')
    .replace(/\$\(\([^()]*\)\)/g, '0')
    .replace(/"?\$\(([^()]*)\)"?/g, 'SUBSTITUTED ; $1 ; ');
  const commands: string[][] = [[]];
  while (rest !== '') {
    const comment = /^[ \t]*#[^\n]*/.exec(rest) ?? /^[ \t]+/.exec(rest);
    const operator = OPERATOR.exec(rest);
    const [taken] = comment ?? operator ?? WORD.exec(rest) ?? [];
    if (taken === undefined) throw new Error(`not understood: ${rest.slice(0, 80)}`);
    rest = rest.slice(taken.length);
    if (comment !== null) continue;
    if (operator === null) commands.at(-1)?.push(unquote(taken));
    else if (!taken.includes('>')) commands.push([]);
  }
  return commands.map(withoutPrefix).filter((words) => words.length > 0);
}

const unquote = (word: string): string => word.replace(/'([^']*)'|"([^"]*)"/g, '$1$2');

/** Without what a command may stand behind: `do`, assignments, `npx`. */
function withoutPrefix(words: readonly string[]): string[] {
  const first = words.findIndex((word) => !/^(?:do|then|npx|[A-Za-z_]+=.*)$/.test(word));
  return first < 0 ? [] : words.slice(first);
}
