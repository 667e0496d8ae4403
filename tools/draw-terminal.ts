// Draws what a terminal was sent as a picture: node tools/draw-terminal.ts SESSION > PICTURE.svg
// SESSION is a file with that text, colours as escape sequences included. A line that begins with `$ ` was typed, one that begins
// with `# ` is said to whoever looks. Longer lines go on in the next one, as in a terminal.
// The picture of the README is docs/start-session.svg, of docs/start-session.txt.
import { readFileSync } from 'node:fs';
import { element, textElement } from '../src/pageserver/inspect/svg.ts';

/** Of the terminal. */
const COLUMNS = 104;
const CHARACTER_WIDTH = 8;
const LINE_HEIGHT = 18;
const MARGIN = 20;
const BAR_HEIGHT = 32;
const ESCAPE = '\x1b[';
const STYLES: Readonly<Record<string, string>> = {
  '': 'plain',
  '0': 'plain',
  '1': 'bold',
  '2': 'dim',
  '32': 'green',
};
const CSS = `
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
.plain { fill: #d7dae0 }
.bold { fill: #ffffff; font-weight: bold }
.dim { fill: #8a919e }
.green { fill: #7cc77a }
.typed { fill: #f2c14e }
`;

/** Characters of one line in one style. */
interface Run {
  readonly text: string;
  readonly style: string;
}

/** @throws Error for an escape sequence that says nothing of how text looks */
function runsOf(line: string): Run[] {
  if (line.startsWith('$ ')) return [{ text: line, style: 'typed' }];
  if (line.startsWith('# ')) return [{ text: line, style: 'dim' }];
  const [first = '', ...others] = line.split(ESCAPE);
  const runs: Run[] = [{ text: first, style: 'plain' }];
  for (const other of others) {
    const [sequence = '', code = ''] = /^(\d*)m/.exec(other) ?? [];
    const style = STYLES[code];
    if (sequence === '' || style === undefined) throw new Error(`not known: ESC[${other.slice(0, 8)}`);
    runs.push({ text: other.slice(sequence.length), style });
  }
  return runs;
}

/** The rows of the terminal that a line takes. */
function rowsOf(runs: readonly Run[]): Run[][] {
  const rows: Run[][] = [[]];
  let column = 0;
  for (const { text, style } of runs) {
    for (let rest = [...text]; rest.length > 0; ) {
      if (column === COLUMNS) {
        rows.push([]);
        column = 0;
      }
      const taken = rest.slice(0, COLUMNS - column);
      rows.at(-1)?.push({ text: taken.join(''), style });
      rest = rest.slice(taken.length);
      column += taken.length;
    }
  }
  return rows;
}

function drawRow(row: readonly Run[], y: number): string {
  let column = 0;
  return row
    .map(({ text, style }) => {
      const width = [...text].length;
      const indent = [...text].length - [...text.trimStart()].length;
      // Several blanks in a row would be shown as one.
      const shown = text.trim().replaceAll(' ', '\u00a0');
      const x = MARGIN + (column + indent) * CHARACTER_WIDTH;
      column += width;
      if (shown === '') return '';
      // Columns are where they are, whatever font the reader has.
      const textLength = [...shown].length * CHARACTER_WIDTH;
      return textElement(shown, x, y, { class: style, textLength, lengthAdjust: 'spacingAndGlyphs' });
    })
    .filter((text) => text !== '')
    .join('\n');
}

function drawTerminal(session: string): string {
  const rows = session
    .trimEnd()
    .split('\n')
    .flatMap((line) => rowsOf(runsOf(line)));
  const width = 2 * MARGIN + COLUMNS * CHARACTER_WIDTH;
  const height = BAR_HEIGHT + rows.length * LINE_HEIGHT + MARGIN;
  const buttons = ['#e0645c', '#e3b341', '#6bbf59'].map((fill, index) =>
    element('circle', { cx: MARGIN + 4 + index * 18, cy: BAR_HEIGHT / 2, r: 5, fill }),
  );
  const content = [
    element('style', {}, CSS),
    element('rect', { width, height, rx: 8, fill: '#1c1f26' }),
    ...buttons,
    ...rows
      .map((row, index) => drawRow(row, BAR_HEIGHT + (index + 1) * LINE_HEIGHT - 4))
      .filter((text) => text !== ''),
  ];
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
  };
  return `${element('svg', attributes, `\n${content.join('\n')}\n`)}\n`;
}

const path = process.argv[2];
if (path === undefined) throw new Error('usage: node tools/draw-terminal.ts SESSION > PICTURE.svg');
process.stdout.write(drawTerminal(readFileSync(path, 'utf8')));
