/** Pages of a timeline's storage: the options by which one is named, and what it looks like. */
import { type Command, InvalidArgumentError } from 'commander';
import { BadRequestError } from '../base/errors.ts';
import type { PageName } from '../pageserver/main.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { SLRUS, type SlruName } from '../postgres/files/slru.ts';
import type { Page } from '../postgres/page/page.ts';
import { FORK_MAIN } from '../postgres/wal/record-header.ts';
import { addTimelineOptions, type TimelineFlags } from './inspected-place.ts';
import { parseCount, parseFork, parseRelation } from './option-values.ts';
import { describePage } from './page-content/page-description.ts';
import { describeSlruPage } from './page-content/slru.ts';
import { type LabelledLine, pageJson, pageLines } from './page-text.ts';
import { fieldsText, toJsonValue } from './plain-value.ts';
import { forkName } from './record-filter.ts';

export interface StorageFlags extends TimelineFlags {
  readonly dir?: string;
  readonly relation?: RelationLocator;
  readonly fork?: number;
  readonly slru?: SlruName;
  readonly page?: number;
  readonly block?: number;
}

/** What `page show` and `page diff` say of a timeline. */
export const STORAGE_HELP =
  '\nOf a timeline, only what is in layer files counts. Without --s3 the layer files of the directory are all that is known:' +
  '\nwhere layers are in a bucket only, pages are wrong or cannot be made. Nothing is written, and the timeline is not' +
  '\ntaken over. See docs/layers.md.';

export function addStorageOptions(command: Command): Command {
  return addTimelineOptions(
    command.option('--dir <directory>', 'a pageserver’s directory, or that of a timeline in it'),
  )
    .option('--relation <spc/db/rel>', 'a relation, by the number of its file', parseRelation)
    .option('--fork <name>', 'with --relation: main (as if not given), fsm, vm or init', parseFork)
    .option('--slru <name>', Object.keys(SLRUS).join(', '), parseSlru)
    .option('--page <n>', 'with --slru: the page, counted from its beginning', parseCount);
}

function parseSlru(text: string): SlruName {
  if (Object.hasOwn(SLRUS, text)) return text as SlruName;
  throw new InvalidArgumentError(`They are ${Object.keys(SLRUS).join(', ')}.`);
}

/** Whether a timeline is asked for, and not files. @throws BadRequestError where it is both or neither */
export function isOfStorage(flags: StorageFlags, files: readonly (string | undefined)[]): boolean {
  const isPlaced = flags.dir !== undefined || flags.s3 !== undefined;
  const count = files.filter((file) => file !== undefined).length;
  if (isPlaced && count > 0) {
    throw new BadRequestError('CONFLICTING_OPTIONS', 'name files or a timeline (--dir, --s3), not both');
  }
  const isNamed = [flags.relation, flags.fork, flags.slru, flags.page, flags.tenant, flags.timeline].some(
    (flag) => flag !== undefined,
  );
  if (!isPlaced && isNamed) {
    throw new BadRequestError('MISSING_ARGUMENT', 'say where the timeline is: --dir or --s3');
  }
  if (!isPlaced && count < files.length) {
    const what = files.length === 1 ? 'a file' : 'two files';
    throw new BadRequestError('MISSING_ARGUMENT', `name ${what}, or a timeline with --dir or --s3`);
  }
  return isPlaced;
}

/** @throws BadRequestError where the options do not name one page */
export function toPageName({ relation, fork, block, slru, page }: StorageFlags): PageName {
  if (relation !== undefined && block !== undefined && slru === undefined && page === undefined) {
    return { kind: 'relation', relation, fork: fork ?? FORK_MAIN, block };
  }
  if (slru !== undefined && page !== undefined && relation === undefined && block === undefined) {
    if (fork !== undefined) throw new BadRequestError('CONFLICTING_OPTIONS', 'an SLRU has no forks');
    return { kind: 'slru', slru, page };
  }
  throw new BadRequestError(
    'MISSING_ARGUMENT',
    'name a page: --relation with --block, or --slru with --page',
  );
}

export function pageNameText(name: PageName): string {
  if (name.kind === 'slru') return `${name.slru} page ${name.page}`;
  const { relation, fork, block } = name;
  return `${relation.tablespace}/${relation.database}/${relation.relation} ${forkName(fork)} fork, block ${block}`;
}

const namesOf = (name: PageName): Readonly<Record<string, unknown>> =>
  name.kind === 'slru'
    ? { slru: name.slru, page: name.page }
    : { ...name.relation, fork: forkName(name.fork), block: name.block };

/** Which page it is, for JSON. */
export const pageNameJson = (name: PageName): unknown => toJsonValue(namesOf(name));

/** A page as JSON. @param where fields beside the page's name */
export function storedPageJson(
  name: PageName,
  page: Page,
  where: Readonly<Record<string, unknown>>,
): unknown {
  const names = { ...namesOf(name), ...where };
  if (name.kind === 'relation') {
    return pageJson(names, describePage(page, name.fork, name.block), undefined);
  }
  return toJsonValue({ ...names, kind: 'slru', entries: describeSlruPage(name.slru, page, name.page) });
}

export function storedPageLines(name: PageName, page: Page): LabelledLine[] {
  if (name.kind === 'relation') return pageLines(describePage(page, name.fork, name.block));
  return describeSlruPage(name.slru, page, name.page).map((entry) => {
    const [first = ''] = Object.values(entry);
    return { label: String(first), text: fieldsText(entry) };
  });
}

/** The kind of the page, in a word. */
export const pageKindText = (name: PageName, page: Page): string =>
  name.kind === 'slru' ? 'entries that are not zero' : describePage(page, name.fork, name.block).kind;
