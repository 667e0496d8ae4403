/** A page of a timeline at two LSNs, and what happened to it in between. */
import { BadRequestError, VarveError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import type { InspectedValue, OfflineTimeline, PageName } from '../pageserver/main.ts';
import type { Page } from '../postgres/page/page.ts';
import type { MaskFunction } from '../redo/redo-types.ts';
import type { CliContext } from './context.ts';
import { toPlace } from './inspected-place.ts';
import { type Difference, differenceText, findDifferences } from './page-difference.ts';
import { maskPage } from './page-mask.ts';
import { changedLines } from './page-text.ts';
import { toJsonValue } from './plain-value.ts';
import { ReportWriter } from './report-writer.ts';
import {
  pageNameJson,
  pageNameText,
  type StorageFlags,
  storedPageJson,
  storedPageLines,
  toPageName,
} from './storage-page.ts';
import { ValueDescriber } from './stored-value-text.ts';

export interface StorageDiffFlags extends StorageFlags {
  readonly from?: Lsn;
  readonly to?: Lsn;
  readonly mask?: MaskFunction;
}

/** What is to be told. A page that is undefined did not exist. */
interface StoredDifference {
  readonly name: PageName;
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
  readonly before: Page | undefined;
  readonly after: Page | undefined;
  readonly changes: readonly InspectedValue[];
  readonly differences: readonly Difference[];
  readonly describer: ValueDescriber;
}

const ABSENCES = ['NO_SUCH_RELATION', 'NO_SUCH_BLOCK', 'NO_SUCH_PAGE'];

export async function diffStored(context: CliContext, flags: StorageDiffFlags): Promise<void> {
  const name = toPageName(flags);
  const { from: fromLsn, mask } = flags;
  if (fromLsn === undefined) throw new BadRequestError('MISSING_ARGUMENT', 'say from which LSN on: --from');
  if (mask !== undefined && name.kind === 'slru') {
    throw new BadRequestError('CONFLICTING_OPTIONS', 'there is no mask for pages of SLRUs');
  }
  // Loaded only here: files need nothing of it.
  const { withOfflineTimeline } = await import('../pageserver/main.ts');
  const difference = await withOfflineTimeline(toPlace(flags.dir, flags), async (timeline) => {
    const toLsn = flags.to ?? timeline.highestLsn;
    if (toLsn < fromLsn) {
      throw new BadRequestError('BAD_LSN_RANGE', `${formatLsn(toLsn)} is before ${formatLsn(fromLsn)}`);
    }
    return await compare(timeline, name, fromLsn, toLsn, mask);
  });
  const writer = new ReportWriter(context);
  if (context.isJson) writer.json(differenceJson(difference));
  else for (const line of differenceLines(difference)) writer.line(line);
  await writer.flush();
  if (!isSame(difference)) context.answerNo();
}

async function compare(
  timeline: OfflineTimeline,
  name: PageName,
  fromLsn: Lsn,
  toLsn: Lsn,
  mask: MaskFunction | undefined,
): Promise<StoredDifference> {
  let absence: unknown;
  const read = async (lsn: Lsn): Promise<Page | undefined> => {
    try {
      return await timeline.readPage(name, lsn);
    } catch (error) {
      if (!(error instanceof VarveError) || !ABSENCES.includes(error.code)) throw error;
      absence = error;
      return undefined;
    }
  };
  const before = await read(fromLsn);
  const after = await read(toLsn);
  if (before === undefined && after === undefined) throw absence;
  const changes = await timeline.changesOf(name, fromLsn, toLsn);
  const describer = new ValueDescriber(timeline.version);
  const differences =
    before === undefined || after === undefined ? [] : differencesOf(name, before, after, mask);
  return { name, fromLsn, toLsn, before, after, changes, differences, describer };
}

function differencesOf(
  name: PageName,
  before: Page,
  after: Page,
  mask: MaskFunction | undefined,
): Difference[] {
  if (name.kind === 'slru') return [];
  if (mask === undefined) return findDifferences(before, after);
  return findDifferences(maskPage(before, name.block, mask), maskPage(after, name.block, mask));
}

function isSame({ name, before, after, differences }: StoredDifference): boolean {
  if (before === undefined || after === undefined) return false;
  return name.kind === 'slru' ? Buffer.compare(before.bytes, after.bytes) === 0 : differences.length === 0;
}

function differenceJson(difference: StoredDifference): unknown {
  const { name, fromLsn, toLsn, before, after, changes, differences, describer } = difference;
  const pageAt = (page: Page | undefined, lsn: Lsn): unknown =>
    page === undefined ? null : storedPageJson(name, page, { readLsn: lsn });
  return {
    page: pageNameJson(name),
    fromLsn: formatLsn(fromLsn),
    toLsn: formatLsn(toLsn),
    isSame: isSame(difference),
    changes: changes.map((value) => describer.json(value)),
    differences: toJsonValue(differences),
    before: pageAt(before, fromLsn),
    after: pageAt(after, toLsn),
  };
}

function differenceLines(difference: StoredDifference): string[] {
  const { name, fromLsn, toLsn, before, after, changes, differences, describer } = difference;
  const lines = [`${pageNameText(name)}, from ${formatLsn(fromLsn)} to ${formatLsn(toLsn)}`];
  if (before === undefined) lines.push(`it did not exist at ${formatLsn(fromLsn)}`);
  if (after === undefined) lines.push(`it did not exist any more at ${formatLsn(toLsn)}`);
  lines.push(`stored for it in between: ${changes.length === 0 ? 'nothing' : ''}`.trimEnd());
  for (const change of changes) lines.push(`  ${describer.line(change)}`);
  const linesOf = (page: Page | undefined) => (page === undefined ? [] : storedPageLines(name, page));
  const changed = changedLines(linesOf(before), linesOf(after));
  lines.push(`on the page: ${changed.length === 0 ? 'all is the same' : ''}`.trimEnd());
  for (const line of changed) {
    if (line.before !== undefined) lines.push(`  - ${line.before}`);
    if (line.after !== undefined) lines.push(`  + ${line.after}`);
  }
  if (differences.length > 0) {
    const bytes = differences.reduce((sum, { differing }) => sum + differing, 0);
    lines.push(`${bytes} byte${bytes === 1 ? ' differs' : 's differ'}:`);
    for (const each of differences) lines.push(`  ${differenceText(each)}`);
  }
  return lines;
}
