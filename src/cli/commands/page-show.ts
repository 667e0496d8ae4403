import type { Command } from 'commander';
import { CorruptionError } from '../../base/errors.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import type { CliContext } from '../context.ts';
import { parseCount } from '../option-values.ts';
import { checkPageChecksum } from '../page-checksum.ts';
import type { PageItem } from '../page-content/page-content.ts';
import { describePage, type PageDescription } from '../page-content/page-description.ts';
import { PageFile } from '../page-file.ts';
import { fieldsText, toJsonValue } from '../plain-value.ts';
import { Progress } from '../progress.ts';
import { forkName } from '../record-filter.ts';
import { ReportWriter } from '../report-writer.ts';

interface ShowOptions {
  readonly block?: number;
  readonly firstBlock?: number;
  readonly checksum?: true;
}

export function registerPageShow(page: Command, context: CliContext): void {
  page
    .command('show')
    .description('print what is on the pages of a relation file: header, line pointers, tuples')
    .argument('<file>', 'a file of 8 KiB pages, such as base/5/16384 or base/5/16384_vm')
    .option('--block <n>', 'only this block of the file, counted from 0', parseCount)
    .option(
      '--first-block <n>',
      "the number that the file's first block has in its fork (from a name like 16384.1)",
      parseCount,
    )
    .option('--checksum', 'check the checksum of each page')
    .addHelpText(
      'after',
      '\nThe kind of a page (heap, btree, hash, gin, gist, spgist, brin, sequence) is recognised from the page; the free space' +
        '\nand visibility maps from the name of the file. Ends with 3 if there is no such block, with 8 if a checksum is wrong.',
    )
    .action((file: string, options: ShowOptions) => show(context, file, options));
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
      if (context.isJson) writer.json(pageJson(numbers, description, checksum));
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
type Checksum = ReturnType<typeof checkPageChecksum> | undefined;

function pageJson(
  numbers: PageNumbers,
  { kind, header, content }: PageDescription,
  checksum: Checksum,
): unknown {
  const { special, contents, items, problem } = content;
  return toJsonValue({ ...numbers, kind, header, checksum, special, contents, items, problem });
}

function writePage(
  writer: ReportWriter,
  { block, fileBlock, fork }: PageNumbers,
  { kind, header, content }: PageDescription,
  checksum: Checksum,
): void {
  const place = block === fileBlock ? '' : ` (block ${fileBlock} of the file)`;
  writer.line(`block ${block}${place}, ${fork} fork: ${kind}`);
  if (kind !== 'new') writer.line(`  header    ${fieldsText(header)}`);
  if (checksum !== undefined) {
    const expected = checksum.state === 'wrong' ? `, it should be ${checksum.expected}` : '';
    writer.line(`  checksum  ${checksum.state}${expected}`);
  }
  if (content.special !== undefined) writer.line(`  special   ${fieldsText(content.special)}`);
  if (content.contents !== undefined) writer.line(`  contents  ${fieldsText(content.contents)}`);
  for (const item of content.items ?? []) writer.line(`  ${itemText(item)}`);
  if (content.problem !== undefined) writer.line(`  PROBLEM   ${content.problem}`);
}

function itemText({ line, state, offset, length, fields, problem }: PageItem): string {
  const head = `${String(line).padStart(4)} ${state}`;
  if (state === 'unused') return head;
  if (state === 'redirect') return `${head} to line ${offset}`;
  const text = problem === undefined ? fieldsText(fields ?? {}) : `PROBLEM ${problem}`;
  return `${head} at ${offset}, ${length} bytes: ${text}`;
}
