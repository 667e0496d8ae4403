import type { Command } from 'commander';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { InspectedLayer, ValueSelection } from '../../pageserver/main.ts';
import type { RelationLocator } from '../../postgres/files/relation-locator.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import type { CliContext } from '../context.ts';
import { parseCount, parseFork, parseLsnOption, parseRelation } from '../option-values.ts';
import { formatBytes } from '../progress.ts';
import { ReportWriter } from '../report-writer.ts';
import { ValueDescriber } from '../stored-value-text.ts';

interface DumpFlags {
  readonly header?: true;
  readonly verify?: true;
  readonly key?: string;
  readonly relation?: RelationLocator;
  readonly fork?: number;
  readonly block?: number;
  readonly start?: Lsn;
  readonly end?: Lsn;
  readonly limit?: number;
}

/** So many values are gathered before they are written. */
const VALUES_AT_ONCE = 256;

export function registerLayerDump(layer: Command, context: CliContext): void {
  layer
    .command('dump')
    .description('print what is in a layer file: its header, then its values by key and LSN')
    .argument('<file>', 'a layer file')
    .option('--header', 'only the header')
    .option('--verify', 'print no values, but read all of the file and check every checksum and all order')
    .option('--key <hex>', 'only values of this key, 36 hexadecimal digits')
    .option('--relation <spc/db/rel>', 'only blocks and sizes of this relation', parseRelation)
    .option('--fork <name>', 'with --relation: only this fork: main, fsm, vm or init', parseFork)
    .option('--block <n>', 'with --relation: only this block', parseCount)
    .option('--start <lsn>', 'only values at or after this LSN', parseLsnOption)
    .option('--end <lsn>', 'only values before this LSN', parseLsnOption)
    .option('--limit <n>', 'stop after this many values', parseCount)
    .addHelpText(
      'after',
      "\nA value's LSN is where its record ends. Records are described as by `varve wal dump`. Ends with 8 at damage, after all" +
        '\nvalues before it.',
    )
    .action((file: string, flags: DumpFlags) => dump(context, file, flags));
}

async function dump(context: CliContext, file: string, flags: DumpFlags): Promise<void> {
  const { inspectLayer, valuesOfLayer, verifyLayerFile } = await import('../../pageserver/main.ts');
  const writer = new ReportWriter(context);
  const layer = flags.verify === true ? await verifyLayerFile(file) : await inspectLayer(file);
  writeHeader(context, writer, layer, flags.verify === true);
  await writer.flush();
  if (flags.header === true || flags.verify === true || flags.limit === 0) return;
  const describer = new ValueDescriber(getPostgresVersion(layer.header.postgresMajor));
  let count = 0;
  let keyBefore = '';
  try {
    for await (const value of valuesOfLayer(file, layer, toSelection(flags))) {
      if (context.isJson) writer.json(describer.json(value));
      else {
        if (value.key !== keyBefore) writer.line(`${value.keyText}   ${value.key}`);
        writer.line(`  ${describer.line(value)}`);
      }
      keyBefore = value.key;
      count++;
      if (count % VALUES_AT_ONCE === 0) await writer.flush();
      if (count === flags.limit) break;
    }
  } finally {
    // Also before an error: what comes before the damage is shown.
    await writer.flush();
  }
}

function toSelection({ key, relation, fork, block, start, end }: DumpFlags): ValueSelection {
  return {
    ...(key === undefined ? {} : { key }),
    ...(relation === undefined ? {} : { relation }),
    ...(fork === undefined ? {} : { fork }),
    ...(block === undefined ? {} : { block }),
    ...(start === undefined ? {} : { startLsn: start }),
    ...(end === undefined ? {} : { endLsn: end }),
  };
}

function writeHeader(
  { isJson }: CliContext,
  writer: ReportWriter,
  { header, level, keys, counts }: InspectedLayer,
  isVerified: boolean,
): void {
  const { tenantId, timelineId, postgresMajor, description, dataBlockCount, leafCount } = header;
  const { kind, lsnStart, lsnEnd, generation, sizeBytes } = description;
  if (isJson) {
    const lsns = { lsnStart: formatLsn(lsnStart), lsnEnd: formatLsn(lsnEnd) };
    const blocks = { dataBlocks: dataBlockCount, indexLeaves: leafCount };
    writer.json({
      layer: {
        ...{ tenantId, timelineId, kind, ...(level === undefined ? {} : { level }), keys, ...lsns },
        ...{ generation, sizeBytes, postgresMajor, counts, ...blocks, ...(isVerified ? { isVerified } : {}) },
      },
    });
    return;
  }
  const lsns =
    kind === 'image' ? formatLsn(lsnStart) : `${formatLsn(lsnStart)} to ${formatLsn(lsnEnd)} (exclusive)`;
  writer.line(
    `layer    ${kind}${level === undefined ? '' : ` of level ${level}`}, PostgreSQL ${postgresMajor}`,
  );
  writer.line(`whose    tenant ${tenantId}, timeline ${timelineId}, generation ${generation}`);
  writer.line(`keys     ${keys.text}   ${keys.start}-${keys.end}`);
  writer.line(`LSNs     ${lsns}`);
  writer.line(
    `holds    ${counts.values} values of ${counts.keys} keys, ${formatBytes(counts.valueBytes)}; in the file ${formatBytes(sizeBytes)}`,
  );
  writer.line(`blocks   ${dataBlockCount} of data, ${leafCount} leaves of the index`);
  if (isVerified)
    writer.line('verified every checksum, the order of all values, the index and the counts are right');
}
