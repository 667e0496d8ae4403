/**
 * Splits a script into statements at semicolons that stand outside of strings, quoted names, dollar quotes and
 * comments, and outside of parentheses (a rule's action list). Lexical rules: scan.l.
 *
 * psql's commands and variables, COPY data and `BEGIN ATOMIC` bodies are not known. Statements come without their
 * semicolon and without white space around them and comments before them; what is nothing else is left out. What is
 * never closed reaches to the end of the script.
 */
export function splitStatements(script: string): string[] {
  const statements: string[] = [];
  let start = -1;
  let depth = 0;
  let position = 0;
  const finish = (end: number): void => {
    if (start >= 0) statements.push(script.slice(start, end).trim());
    start = -1;
    depth = 0;
  };
  while (position < script.length) {
    const comment = skipComment(script, position);
    if (comment > position) {
      position = comment;
      continue;
    }
    const character = script[position] as string;
    if (character === ';' && depth === 0) {
      finish(position);
      position++;
      continue;
    }
    if (start < 0 && !/\s/.test(character)) start = position;
    if (character === '(') depth++;
    else if (character === ')' && depth > 0) depth--;
    position = skipToken(script, position);
  }
  finish(script.length);
  return statements;
}

/** Where a comment that begins at `position` ends; `position` itself if there is none. Block comments nest. */
function skipComment(script: string, position: number): number {
  if (script.startsWith('--', position)) {
    const end = script.indexOf('\n', position);
    return end === -1 ? script.length : end + 1;
  }
  if (!script.startsWith('/*', position)) return position;
  let depth = 0;
  for (let index = position; index < script.length; ) {
    if (script.startsWith('/*', index)) {
      depth++;
      index += 2;
    } else if (script.startsWith('*/', index)) {
      index += 2;
      if (--depth === 0) return index;
    } else index++;
  }
  return script.length;
}

/** Where the string, quoted name, dollar quote or word at `position` ends; else the next character. */
function skipToken(script: string, position: number): number {
  const character = script[position] as string;
  if (character === "'") return skipQuoted(script, position, "'", false);
  if (character === '"') return skipQuoted(script, position, '"', false);
  if (character === '$') {
    const tag = /^\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/.exec(
      script.slice(position, position + 66),
    )?.[0];
    if (tag === undefined) return position + 1;
    const end = script.indexOf(tag, position + tag.length);
    return end === -1 ? script.length : end + tag.length;
  }
  if (!/[\w\u0080-\uffff]/.test(character)) return position + 1;
  // A word as a whole: a dollar sign within it opens no quote, and E before a quote makes an escape string.
  let end = position;
  while (end < script.length && /[\w$\u0080-\uffff]/.test(script[end] as string)) end++;
  const isEscape = end === position + 1 && /[eE]/.test(character) && script[end] === "'";
  return isEscape ? skipQuoted(script, end, "'", true) : end;
}

/** The end of what is quoted from `position` on; two quotes in a row stand for one within. */
function skipQuoted(script: string, position: number, quote: string, hasEscapes: boolean): number {
  for (let index = position + 1; index < script.length; index++) {
    if (hasEscapes && script[index] === '\\') index++;
    else if (script[index] === quote) {
      if (script[index + 1] !== quote) return index + 1;
      index++;
    }
  }
  return script.length;
}
