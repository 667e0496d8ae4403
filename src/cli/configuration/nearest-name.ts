/** Mistakes that a name may have to be taken for another one: a third of its letters, and three at most. */
const MISTAKES_MAX = 3;
const LETTERS_PER_MISTAKE = 3;

/** The one of some names that somebody who has written this has meant most likely; undefined: none is near. */
export function nearestName(written: string, names: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let fewest = Math.min(MISTAKES_MAX, Math.floor(written.length / LETTERS_PER_MISTAKE)) + 1;
  for (const name of names) {
    const mistakes = mistakesBetween(written, name);
    if (mistakes >= fewest) continue;
    fewest = mistakes;
    nearest = name;
  }
  return nearest;
}

/** What is said of a name that nobody knows, with a space before it; nothing where none is near. */
export function didYouMean(written: string, names: readonly string[]): string {
  const name = nearestName(written, names);
  return name === undefined ? '' : ` (did you mean ${name}?)`;
}

/** Letters that are missing, too many, others, or exchanged with their neighbour. */
function mistakesBetween(from: string, to: string): number {
  let before: number[] = [];
  let above = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      let mistakes = Math.min(
        (above[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (above[column - 1] as number) + (isSame ? 0 : 1),
      );
      const isExchanged =
        row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (isExchanged) mistakes = Math.min(mistakes, (before[column - 2] as number) + 1);
      current.push(mistakes);
    }
    before = above;
    above = current;
  }
  return above[to.length] as number;
}
