import { type Command, InvalidArgumentError } from 'commander';
import type { Lsn } from '../../base/lsn.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { MASKS_BY_NAME } from '../../redo/mask/masks.ts';
import type { MaskFunction } from '../../redo/redo-types.ts';
import type { CliContext } from '../context.ts';
import { parseCount, parseLsnOption } from '../option-values.ts';
import { differenceText, findDifferences } from '../page-difference.ts';
import { PageFile } from '../page-file.ts';
import { maskPage } from '../page-mask.ts';
import { toJsonValue } from '../plain-value.ts';
import { Progress } from '../progress.ts';
import { ReportWriter } from '../report-writer.ts';
import { addStorageOptions, isOfStorage, STORAGE_HELP, type StorageFlags } from '../storage-page.ts';
import { diffStored } from '../storage-page-diff.ts';

interface DiffOptions extends StorageFlags {
  readonly from?: Lsn;
  readonly to?: Lsn;
  readonly mask?: MaskFunction;
}

export function registerPageDiff(page: Command, context: CliContext): void {
  const command = page
    .command('diff')
    .description('compare two files of pages, block by block, or a page of a timeline at two LSNs')
    .argument('[file1]', 'a file of 8 KiB pages')
    .argument('[file2]', 'another')
    .option(
      '--block <n>',
      'only this block of both files, counted from 0; of a timeline, the block',
      parseCount,
    )
    .option(
      '--mask <kind>',
      `hide what PostgreSQL itself does not compare on pages of this kind: ${Object.keys(MASKS_BY_NAME).join(', ')}`,
      parseMask,
    );
  addStorageOptions(command)
    .option('--from <lsn>', 'of a timeline: the page as of this LSN …', parseLsnOption)
    .option('--to <lsn>', '… and as of this one (the newest), with the records in between', parseLsnOption)
    .addHelpText(
      'after',
      `\nEnds with 0 if the pages are equal, with 1 if any differs or one file is longer.${STORAGE_HELP}`,
    )
    .action((first: string | undefined, second: string | undefined, options: DiffOptions) =>
      isOfStorage(options, [first, second])
        ? diffStored(context, options)
        : diff(context, first as string, second as string, options),
    );
}

function parseMask(text: string): MaskFunction {
  const mask = Object.hasOwn(MASKS_BY_NAME, text) ? MASKS_BY_NAME[text] : undefined;
  if (mask === undefined)
    throw new InvalidArgumentError(`The masks are ${Object.keys(MASKS_BY_NAME).join(', ')}.`);
  return mask;
}

async function diff(context: CliContext, first: string, second: string, options: DiffOptions): Promise<void> {
  const progress = new Progress(context, 'comparing pages');
  const writer = new ReportWriter(context, progress);
  await using openedFirst = await context.files.open(first);
  await using openedSecond = await context.files.open(second);
  const left = new PageFile(openedFirst);
  const right = new PageFile(openedSecond);
  const from = options.block ?? 0;
  const to = options.block === undefined ? Math.min(left.blocks, right.blocks) : from + 1;
  let differing = 0;
  try {
    for (let block = from; block < to; block++) {
      if (await diffBlock(context, writer, left, right, block, options.mask)) differing++;
      await writer.flush();
      progress.report((block - from) * BLOCK_BYTES, (to - from) * BLOCK_BYTES);
    }
  } finally {
    progress.clear();
  }
  const isSameLength = options.block !== undefined || left.blocks === right.blocks;
  if (context.isJson)
    writer.json({ blocks: to - from, differing, leftBlocks: left.blocks, rightBlocks: right.blocks });
  else {
    writer.line(`${to - from} block${to - from === 1 ? '' : 's'} compared, ${differing} differ`);
    if (!isSameLength) writer.line(`${first} has ${left.blocks} blocks, ${second} has ${right.blocks}`);
  }
  await writer.flush();
  if (differing > 0 || !isSameLength) context.answerNo();
}

/** Returns whether the block differs, and writes down how. */
async function diffBlock(
  context: CliContext,
  writer: ReportWriter,
  left: PageFile,
  right: PageFile,
  block: number,
  mask: MaskFunction | undefined,
): Promise<boolean> {
  const [first, second] = [await left.read(block), await right.read(block)];
  const differences =
    mask === undefined
      ? findDifferences(first, second)
      : findDifferences(
          maskPage(first, left.firstBlock + block, mask),
          maskPage(second, right.firstBlock + block, mask),
        );
  if (differences.length === 0) return false;
  if (context.isJson) {
    writer.json(toJsonValue({ block, differences }));
    return true;
  }
  const bytes = differences.reduce((sum, difference) => sum + difference.differing, 0);
  writer.line(`block ${block}: ${bytes} byte${bytes === 1 ? ' differs' : 's differ'}`);
  for (const difference of differences) writer.line(`  ${differenceText(difference)}`);
  return true;
}
