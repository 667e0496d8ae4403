import type { Command } from 'commander';
import { CorruptionError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import type { LayerRow } from '../../pageserver/main.ts';
import type { CliContext } from '../context.ts';
import { addTimelineOptions, type TimelineFlags, toPlace } from '../inspected-place.ts';
import { formatBytes } from '../progress.ts';
import { ReportWriter } from '../report-writer.ts';
import { tableLines } from '../table.ts';

interface ListFlags extends TimelineFlags {
  readonly headers?: true;
}

const HEADINGS = [
  'kind',
  'level',
  'from LSN',
  'to LSN',
  'size',
  'values',
  'gen',
  'where',
  'keys',
  'key range',
];
const RIGHT = [4, 5, 6];

export function registerLayerList(layer: Command, context: CliContext): void {
  addTimelineOptions(
    layer
      .command('list')
      .description('list the layers of a timeline, oldest first')
      .argument('[directory]', "a timeline's directory, or a pageserver's with --tenant and --timeline"),
  )
    .option('--headers', 'read also the headers of layers that are in the bucket only, to count their values')
    .addHelpText(
      'after',
      '\nWith --s3 the newest index in the bucket says which layers there are, else the names of the files. Nothing is' +
        '\nwritten, and the timeline is not taken over. Ends with 8 if a header is damaged, after the list. See docs/layers.md.',
    )
    .action((directory: string | undefined, flags: ListFlags) => list(context, directory, flags));
}

async function list(context: CliContext, directory: string | undefined, flags: ListFlags): Promise<void> {
  // Loaded only here: no other command needs it.
  const { listLayers } = await import('../../pageserver/main.ts');
  const rows = await listLayers(toPlace(directory, flags), flags.headers === true);
  const writer = new ReportWriter(context);
  if (context.isJson) for (const row of rows) writer.json(rowJson(row));
  else {
    if (rows.length > 0)
      for (const line of tableLines([HEADINGS, ...rows.map(rowCells)], RIGHT)) writer.line(line);
    const bytes = rows.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    writer.line(`${rows.length} layer${rows.length === 1 ? '' : 's'}, ${formatBytes(bytes)}`);
  }
  await writer.flush();
  const damaged = rows.filter(({ problem }) => problem !== undefined);
  const [first] = damaged;
  if (first?.problem === undefined) return;
  if (damaged.length === 1 || first.problem.kind !== 'corruption') throw first.problem;
  const { code, place, reason } = first.problem;
  throw new CorruptionError(code, `${damaged.length} layers cannot be read; of the first: ${reason}`, place);
}

function rowCells(row: LayerRow): string[] {
  const { kind, level, keys, lsnStart, lsnEnd, generation, sizeBytes, isLocal, counts, problem } = row;
  const values = problem === undefined ? String(counts?.values ?? '-') : 'DAMAGED';
  return [
    kind,
    level === undefined ? '-' : String(level),
    formatLsn(lsnStart),
    kind === 'image' ? '-' : formatLsn(lsnEnd),
    formatBytes(sizeBytes),
    values,
    String(generation),
    isLocal ? 'here' : 'bucket',
    keys.text,
    `${keys.start}-${keys.end}`,
  ];
}

function rowJson(row: LayerRow): object {
  const { name, kind, level, keys, lsnStart, lsnEnd, generation, sizeBytes, isLocal, counts, problem } = row;
  return {
    name,
    kind,
    ...(level === undefined ? {} : { level }),
    keys,
    lsnStart: formatLsn(lsnStart),
    lsnEnd: formatLsn(lsnEnd),
    generation,
    sizeBytes,
    isLocal,
    ...(counts && { counts }),
    ...(problem === undefined ? {} : { problem: problem.message }),
  };
}
