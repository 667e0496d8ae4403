import type { Command } from 'commander';
import { BadRequestError, CorruptionError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { CliContext } from '../context.ts';
import { toPlace } from '../inspected-place.ts';
import { parseCount, parseLsnOption } from '../option-values.ts';
import { checkPageChecksum } from '../page-checksum.ts';
import { describePage, type PageDescription } from '../page-content/page-description.ts';
import { PageFile } from '../page-file.ts';
import { type Checksum, pageJson, pageLines } from '../page-text.ts';
import { Progress } from '../progress.ts';
import { forkName } from '../record-filter.ts';
import { ReportWriter } from '../report-writer.ts';
import {
  addStorageOptions,
  isOfStorage,
  pageKindText,
  pageNameText,
  STORAGE_HELP,
  type StorageFlags,
  storedPageJson,
  storedPageLines,
  toPageName,
} from '../storage-page.ts';

interface ShowOptions extends StorageFlags {
  readonly lsn?: Lsn;
  readonly firstBlock?: number;
  readonly checksum?: true;
}

export function registerPageShow(page: Command, context: CliContext): void {
  const command = page
    .command('show')
    .description('print what is on pages, of a relation file or of a timeline: header, line pointers, tuples')
    .argument('[file]', 'a file of 8 KiB pages, such as base/5/16384 or base/5/16384_vm')
    .option(
      '--block <n>',
      'only this block of the file, counted from 0; of a timeline, the block',
      parseCount,
    )
    .option(
      '--first-block <n>',
      "the number that the file's first block has in its fork (from a name like 16384.1)",
      parseCount,
    )
    .option('--checksum', 'check the checksum of each page');
  addStorageOptions(command)
    .option('--lsn <lsn>', 'of a timeline: as of this LSN (the newest)', parseLsnOption)
    .addHelpText(
      'after',
      '\nThe kind of a page (heap, btree, hash, gin, gist, spgist, brin, sequence) is recognised from the page; the free space' +
        '\nand visibility maps from the name of the file. Ends with 3 if there is no such block, with 8 if a checksum is wrong.' +
        STORAGE_HELP,
    )
    .action((file: string | undefined, options: ShowOptions) =>
      isOfStorage(options, [file]) ? showStored(context, options) : show(context, file as string, options),
    );
}

async function show(context: CliContext, path: string, options: ShowOptions): Promise<void> {
  const progress = new Progress(context, 'reading pages');
  const writer = new ReportWriter(context, progress);
  await using opened = await context.files.open(path);
  const file = new PageFile(opened);
  const firstOfFork = options.firstBlock ?? file.firstBlock;
  const from = options.block ?? 0;
  const to = options.block === undefined ? file.blocks : from + 1;
  const wrong: number[] = [];
  try {
    for (let block = from; block < to; block++) {
      const page = await file.read(block);
      const numbers = { fileBlock: block, block: firstOfFork + block, fork: forkName(file.fork) };
      const description = describePage(page, file.fork, numbers.block);
      const checksum = options.checksum === true ? checkPageChecksum(page, numbers.block) : undefined;
      if (checksum?.state === 'wrong' || checksum?.state === 'torn') wrong.push(block);
      if (context.isJson) writer.json(pageJson({ ...numbers }, description, checksum));
      else writePage(writer, numbers, description, checksum);
      await writer.flush();
      progress.report((block - from) * BLOCK_BYTES, (to - from) * BLOCK_BYTES);
    }
  } finally {
    progress.clear();
  }
  if (wrong.length > 0) {
    const what = wrong.length === 1 ? 'of a page is' : `of ${wrong.length} pages, here and behind, are`;
    throw new CorruptionError('BAD_CHECKSUM', `the checksum ${what} wrong`, {
      file: path,
      offset: (wrong[0] as number) * BLOCK_BYTES,
    });
  }
}

interface PageNumbers {
  readonly fileBlock: number;
  readonly block: number;
  readonly fork: string;
}

function writePage(
  writer: ReportWriter,
  { block, fileBlock, fork }: PageNumbers,
  description: PageDescription,
  checksum: Checksum,
): void {
  const place = block === fileBlock ? '' : ` (block ${fileBlock} of the file)`;
  writer.line(`block ${block}${place}, ${fork} fork: ${description.kind}`);
  for (const { text } of pageLines(description, checksum)) writer.line(`  ${text}`);
}

/** One page of a timeline. */
async function showStored(context: CliContext, flags: ShowOptions): Promise<void> {
  if (flags.firstBlock !== undefined || flags.checksum === true) {
    throw new BadRequestError('CONFLICTING_OPTIONS', '--first-block and --checksum are for files');
  }
  const name = toPageName(flags);
  // Loaded only here: files need nothing of it.
  const { withOfflineTimeline } = await import('../../pageserver/main.ts');
  const writer = new ReportWriter(context);
  await withOfflineTimeline(toPlace(flags.dir, flags), async (timeline) => {
    const lsn = flags.lsn ?? timeline.highestLsn;
    const page = await timeline.readPage(name, lsn);
    if (context.isJson) writer.json(storedPageJson(name, page, { readLsn: lsn }));
    else {
      writer.line(`${pageNameText(name)}, at ${formatLsn(lsn)}: ${pageKindText(name, page)}`);
      for (const { text } of storedPageLines(name, page)) writer.line(`  ${text}`);
    }
  });
  await writer.flush();
}
