/** A page that has been described, for people and as JSON. */
import type { checkPageChecksum } from './page-checksum.ts';
import type { FieldValues, PageItem } from './page-content/page-content.ts';
import type { PageDescription } from './page-content/page-description.ts';
import { fieldsText, toJsonValue } from './plain-value.ts';

export type Checksum = ReturnType<typeof checkPageChecksum> | undefined;

/** A line of a description. What has the same label on two pages is the same thing. */
export interface LabelledLine {
  readonly label: string;
  readonly text: string;
}

/** @param names the fields that say which page it is */
export function pageJson(
  names: FieldValues,
  { kind, header, content }: PageDescription,
  checksum: Checksum,
): unknown {
  const { special, contents, items, problem } = content;
  return toJsonValue({ ...names, kind, header, checksum, special, contents, items, problem });
}

export function pageLines({ kind, header, content }: PageDescription, checksum?: Checksum): LabelledLine[] {
  const lines: LabelledLine[] = [];
  const add = (label: string, text: string): void => {
    lines.push({ label, text: `${label.padEnd(9)} ${text}` });
  };
  if (kind !== 'new') add('header', fieldsText(header));
  if (checksum !== undefined) {
    const expected = checksum.state === 'wrong' ? `, it should be ${checksum.expected}` : '';
    add('checksum', `${checksum.state}${expected}`);
  }
  if (content.special !== undefined) add('special', fieldsText(content.special));
  if (content.contents !== undefined) add('contents', fieldsText(content.contents));
  for (const item of content.items ?? []) lines.push({ label: `item ${item.line}`, text: itemText(item) });
  if (content.problem !== undefined) add('PROBLEM', content.problem);
  return lines;
}

function itemText({ line, state, offset, length, fields, problem }: PageItem): string {
  const head = `${String(line).padStart(4)} ${state}`;
  if (state === 'unused') return head;
  if (state === 'redirect') return `${head} to line ${offset}`;
  const text = problem === undefined ? fieldsText(fields ?? {}) : `PROBLEM ${problem}`;
  return `${head} at ${offset}, ${length} bytes: ${text}`;
}

/** What is on one page and not, or not so, on the other; `undefined` where there is nothing of that label. */
export interface ChangedLine {
  readonly label: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export function changedLines(before: readonly LabelledLine[], after: readonly LabelledLine[]): ChangedLine[] {
  const texts = new Map(after.map(({ label, text }) => [label, text]));
  const known = new Set(before.map(({ label }) => label));
  const changed = before.flatMap(({ label, text }) =>
    texts.get(label) === text ? [] : [{ label, before: text, after: texts.get(label) }],
  );
  const added = after.flatMap(({ label, text }) =>
    known.has(label) ? [] : [{ label, before: undefined, after: text }],
  );
  return [...changed, ...added];
}
