/** What the scanner is within, and needs the end of. */
type Within =
  | { readonly kind: 'string'; readonly quote: "'" | '"'; readonly hasEscapes: boolean }
  | { readonly kind: 'dollar'; readonly tag: string }
  | { readonly kind: 'comment'; readonly depth: number };

const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const IDENTIFIER_CHARACTER = /[\w$\u0080-\uffff]/;
/** Where something begins that a semicolon has no meaning in, or that counts. */
const NOTABLE = /['"$;()]|--|\/\*|\b(?:begin|case|end)\b/gi;
/** Only in a function's own body, BEGIN ATOMIC … END, do semicolons stand that end no statement of the text. */
const MAKES_FUNCTION = /^create\s+(?:or\s+replace\s+)?(?:function|procedure)\b/i;

/**
 * Cuts text into statements at the semicolons that end one: not those within quotes, dollar quotes, comments and
 * parentheses, nor in a function's BEGIN ATOMIC … END (psqlscan.l). It takes whole lines, and looks at each character once.
 */
export class StatementSplitter {
  #text = '';
  #at = 0;
  #within: Within | undefined;
  #parentheses = 0;
  /** BEGINs and CASEs whose ENDs have not come. */
  #blocks = 0;

  /** Whether a statement, or a comment before one, has begun. */
  get hasBegun(): boolean {
    return this.#text.trim() !== '';
  }

  /** Takes lines with their ends in. @returns the statements that they end, without their semicolons */
  add(lines: string): string[] {
    this.#text += lines;
    const statements: string[] = [];
    for (;;) {
      const end = this.#scan();
      if (end === undefined) return statements;
      const statement = this.#text.slice(0, end).trim();
      this.#text = this.#text.slice(end + 1);
      this.#at = 0;
      this.#parentheses = 0;
      this.#blocks = 0;
      if (withoutComments(statement) !== '') statements.push(statement);
    }
  }

  /** What is there at the end of the text without a semicolon; undefined: nothing that could be run. */
  takeRest(): string | undefined {
    const rest = this.#text.trim();
    this.clear();
    return withoutComments(rest) === '' ? undefined : rest;
  }

  clear(): void {
    this.#text = '';
    this.#at = 0;
    this.#within = undefined;
    this.#parentheses = 0;
    this.#blocks = 0;
  }

  /** Goes on to the next semicolon that ends a statement, and returns where it is. */
  #scan(): number | undefined {
    while (this.#at < this.#text.length) {
      if (this.#within !== undefined) {
        this.#leave(this.#within);
        continue;
      }
      NOTABLE.lastIndex = this.#at;
      const found = NOTABLE.exec(this.#text);
      if (found === null) {
        this.#at = this.#text.length;
        return undefined;
      }
      this.#at = found.index;
      if (found[0] === ';' && this.#parentheses === 0 && this.#blocks === 0) return found.index;
      this.#enter(found[0]);
    }
    return undefined;
  }

  #enter(mark: string): void {
    const at = this.#at;
    this.#at += mark.length;
    if (mark === '(') this.#parentheses++;
    else if (mark === ')') this.#parentheses = Math.max(0, this.#parentheses - 1);
    else if (mark === '/*') this.#within = { kind: 'comment', depth: 1 };
    else if (mark === '"') this.#within = { kind: 'string', quote: '"', hasEscapes: false };
    else if (mark === '--') {
      const end = this.#text.indexOf('\n', at);
      this.#at = end < 0 ? this.#text.length : end + 1;
    } else if (mark === "'") {
      const hasEscapes = /[eE]/.test(this.#text[at - 1] ?? '') && !this.#isInWord(at - 1);
      this.#within = { kind: 'string', quote: "'", hasEscapes };
    } else if (/^[a-z]/i.test(mark)) {
      const isWord = !this.#isInWord(at) && !IDENTIFIER_CHARACTER.test(this.#text[this.#at] ?? '');
      if (isWord && this.#parentheses === 0) this.#enterBlock(mark.toLowerCase());
    } else if (mark === '$' && !this.#isInWord(at)) {
      DOLLAR_TAG.lastIndex = at;
      const tag = DOLLAR_TAG.exec(this.#text)?.[0];
      if (tag === undefined) return;
      this.#at = at + tag.length;
      this.#within = { kind: 'dollar', tag };
    }
  }

  #enterBlock(word: string): void {
    if (word === 'end') this.#blocks = Math.max(0, this.#blocks - 1);
    else if (word === 'case') this.#blocks += this.#blocks > 0 ? 1 : 0;
    else if (this.#blocks > 0 || MAKES_FUNCTION.test(withoutComments(this.#text))) this.#blocks++;
  }

  /** Whether the character before this one belongs to the same name or number. */
  #isInWord(at: number): boolean {
    return at > 0 && IDENTIFIER_CHARACTER.test(this.#text[at - 1] as string);
  }

  /** Goes on to the end of what it is within, or of the text. */
  #leave(within: Within): void {
    if (within.kind === 'dollar') {
      const end = this.#text.indexOf(within.tag, this.#at);
      this.#at = end < 0 ? this.#text.length : end + within.tag.length;
      if (end >= 0) this.#within = undefined;
    } else if (within.kind === 'comment') this.#leaveComment(within.depth);
    else this.#leaveString(within.quote, within.hasEscapes);
  }

  /** Comments are within one another. */
  #leaveComment(depth: number): void {
    const open = this.#text.indexOf('/*', this.#at);
    const close = this.#text.indexOf('*/', this.#at);
    if (close < 0 && open < 0) {
      this.#at = this.#text.length;
      return;
    }
    const isOpen = open >= 0 && (close < 0 || open < close);
    this.#at = (isOpen ? open : close) + 2;
    const next = depth + (isOpen ? 1 : -1);
    this.#within = next === 0 ? undefined : { kind: 'comment', depth: next };
  }

  /** A doubled quote ends one string and begins another, which comes to the same, but for what it may escape. */
  #leaveString(quote: string, hasEscapes: boolean): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at];
      if (hasEscapes && character === '\\') this.#at++;
      else if (character === quote && this.#text[this.#at + 1] === quote) this.#at++;
      else if (character === quote) {
        this.#at++;
        this.#within = undefined;
        return;
      }
    }
  }
}

/** Of what stands before a statement. */
function withoutComments(statement: string): string {
  let rest = statement.trimStart();
  for (;;) {
    if (rest.startsWith('--')) rest = afterLine(rest).trimStart();
    else if (rest.startsWith('/*')) rest = afterComment(rest).trimStart();
    else return rest;
  }
}

function afterLine(text: string): string {
  const end = text.indexOf('\n');
  return end < 0 ? '' : text.slice(end + 1);
}

function afterComment(text: string): string {
  const marks = /\/\*|\*\//g;
  let depth = 0;
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return text.slice(marks.lastIndex);
  }
  return '';
}

/** Whether a statement copies from or to its client, which takes more than a statement. */
export const isClientCopy = (statement: string): boolean =>
  /^copy\b[^;]*\b(from\s+stdin|to\s+stdout)\b/i.test(withoutComments(statement));
