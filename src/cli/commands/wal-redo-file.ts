import type { Command } from 'commander';
import { BadRequestError, CorruptionError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { getPageLsn, Page } from '../../postgres/page/page.ts';
import {
  FORK_MAIN,
  RECORD_HEADER_BYTES,
  RECORD_INFO,
  RECORD_RESOURCE_MANAGER,
} from '../../postgres/wal/record-header.ts';
import { maskPageLsnAndChecksum } from '../../redo/mask/common.ts';
import { findMask } from '../../redo/mask/masks.ts';
import { REDO_APPLIED, REDO_RESTORED, REDO_SKIPPED } from '../../redo/redo.ts';
import { decodeRedoCase, type RedoCase, type RedoCaseRecord, runRedoCase } from '../../redo/redo-case.ts';
import type { MaskFunction } from '../../redo/redo-types.ts';
import type { CliContext } from '../context.ts';
import { maskPage } from '../page-mask.ts';
import { quoteUnlessPlain } from '../plain-value.ts';
import { forkName } from '../record-filter.ts';
import { kindName, resourceManagerName } from '../record-text.ts';
import { ReportWriter } from '../report-writer.ts';

/** Far above what any real case has; a case is read whole. */
const CASE_BYTES_MAX = 256 * 1024 * 1024;

const RESULT_NAMES = {
  [REDO_SKIPPED]: 'skipped',
  [REDO_APPLIED]: 'applied',
  [REDO_RESTORED]: 'restored',
} as const;

export function registerWalRedoFile(wal: Command, context: CliContext): void {
  wal
    .command('redo-file')
    .description('repeat the replay that a redo case holds (docs/formats/redo-case.md)')
    .argument('<file>', 'the redo case')
    .option('--out <pagefile>', 'write the page as replay has left it to this new file')
    .addHelpText(
      'after',
      '\nWhere the case says which page to expect, it is compared byte for byte and, if there is one, under the mask of the' +
        '\nlast resource manager, which hides what PostgreSQL itself does not compare. The mask decides. Ends with 1 if' +
        '\nthe page differs, with 8 if a record cannot be replayed.',
    )
    .action((file: string, options: { out?: string }) => redoFile(context, file, options.out));
}

interface Comparison {
  readonly isEqual: boolean;
  /** Undefined where there is no mask for such pages. */
  readonly isEqualUnderMask: boolean | undefined;
  readonly firstDifference: number | undefined;
}

/** As decodeRedoCase, with the file's name in what it raises. */
function decodeCaseOfFile(text: string, path: string): RedoCase {
  try {
    return decodeRedoCase(text);
  } catch (error) {
    if (!(error instanceof BadRequestError)) throw error;
    throw new BadRequestError(error.code, error.reason, { ...error.place, file: path }, error);
  }
}

async function redoFile(context: CliContext, path: string, out: string | undefined): Promise<void> {
  const redoCase = decodeCaseOfFile(await readText(context, path), path);
  const { steps, page } = runRedoCase(redoCase);
  const writer = new ReportWriter(context);
  const failure = steps.at(-1)?.error;
  const comparison = failure === undefined ? compare(redoCase, page) : undefined;
  if (context.isJson) {
    writer.json({
      page: pageName(redoCase),
      ...(redoCase.note === undefined ? {} : { note: redoCase.note }),
      steps: steps.map(({ startLsn, result, error }, index) => ({
        lsn: formatLsn(startLsn),
        record: recordName(redoCase.records[index] as RedoCaseRecord),
        ...(result === undefined ? {} : { result: RESULT_NAMES[result] }),
        ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      })),
      pageLsn: formatLsn(getPageLsn(page)),
      ...(comparison === undefined ? {} : { comparison }),
    });
  } else {
    writer.line(`page     ${pageName(redoCase)}, PostgreSQL ${redoCase.postgresVersion.major}`);
    if (redoCase.note !== undefined) writer.line(`note     ${quoteUnlessPlain(redoCase.note)}`);
    for (const [index, { startLsn, result, error }] of steps.entries()) {
      const name = recordName(redoCase.records[index] as RedoCaseRecord);
      const outcome = result === undefined ? `FAILED: ${error?.message}` : RESULT_NAMES[result];
      writer.line(`record   ${formatLsn(startLsn)} ${name}: ${outcome}`);
    }
    writer.line(`outcome  page LSN ${formatLsn(getPageLsn(page))}, ${comparisonText(redoCase, comparison)}`);
  }
  if (out !== undefined) await context.files.create(out, page.bytes);
  await writer.flush();
  if (failure !== undefined) {
    const { place, reason } = failure;
    throw new CorruptionError('REDO_CASE_FAILED', reason, { ...place, file: path }, failure);
  }
  const isSame = comparison?.isEqualUnderMask ?? comparison?.isEqual ?? true;
  if (!isSame) context.answerNo();
}

async function readText(context: CliContext, path: string): Promise<string> {
  await using file = await context.files.open(path);
  if (file.sizeBytes > CASE_BYTES_MAX) {
    throw new BadRequestError('BAD_REDO_CASE', `this is no redo case: ${file.sizeBytes} bytes are too many`, {
      file: path,
    });
  }
  const bytes = new Uint8Array(file.sizeBytes);
  const length = await file.read(bytes, 0, bytes.length, 0);
  return new TextDecoder().decode(bytes.subarray(0, length));
}

const pageName = ({ tablespace, database, relation, fork, block }: RedoCase): string =>
  `${tablespace}/${database}/${relation} fork ${forkName(fork)} block ${block}`;

function recordName({ bytes }: RedoCaseRecord): string {
  if (bytes.length < RECORD_HEADER_BYTES) return '(cut off)';
  const resourceManager = bytes[RECORD_RESOURCE_MANAGER] as number;
  return `${resourceManagerName(resourceManager)} ${kindName(resourceManager, bytes[RECORD_INFO] as number)}`;
}

function compare(redoCase: RedoCase, page: Page): Comparison | undefined {
  const { expected, block } = redoCase;
  if (expected === undefined) return undefined;
  const firstDifference = findDifference(page.bytes, expected);
  const mask = findMaskOfCase(redoCase);
  const isEqualUnderMask =
    mask === undefined
      ? undefined
      : findDifference(maskPage(page, block, mask).bytes, maskPage(new Page(expected), block, mask).bytes) <
        0;
  return {
    isEqual: firstDifference < 0,
    isEqualUnderMask,
    firstDifference: firstDifference < 0 ? undefined : firstDifference,
  };
}

/** The heap's mask would hide all of a map, which has no items. */
function findMaskOfCase({ records, fork }: RedoCase): MaskFunction | undefined {
  if (fork !== FORK_MAIN) return maskPageLsnAndChecksum;
  for (const { bytes } of records.toReversed()) {
    const mask = findMask(bytes[RECORD_RESOURCE_MANAGER] as number);
    if (mask !== undefined) return mask;
  }
  return undefined;
}

function findDifference(left: Uint8Array, right: Uint8Array): number {
  return left.findIndex((byte, index) => byte !== right[index]);
}

function comparisonText({ expected }: RedoCase, comparison: Comparison | undefined): string {
  if (expected === undefined) return 'no page is expected';
  if (comparison === undefined) return 'not compared with the expected page';
  if (comparison.isEqual) return 'equal to the expected page';
  const where = `differs from the expected page from offset ${comparison.firstDifference} on`;
  if (comparison.isEqualUnderMask === undefined) return where;
  return comparison.isEqualUnderMask
    ? `${where}, but only in what the mask hides`
    : `${where}, also under the mask`;
}
