import type { Command } from 'commander';
import { CorruptionError, type ErrorPlace } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { RECORD_INFO, RECORD_RESOURCE_MANAGER } from '../../postgres/wal/record-header.ts';
import type { WalReader } from '../../postgres/wal/wal-reader.ts';
import type { CliContext } from '../context.ts';
import { formatBytes, Progress } from '../progress.ts';
import { decodeBodyOrError, imageBytes, kindName, resourceManagerName } from '../record-text.ts';
import { ReportWriter } from '../report-writer.ts';
import { locateLsn } from '../wal-segments.ts';
import { type WalScanEnd, WalSource } from '../wal-source.ts';

export function registerWalVerify(wal: Command, context: CliContext): void {
  wal
    .command('verify')
    .description('check WAL: page headers, links, CRCs, and that every record can be decoded')
    .argument('<paths...>', 'segment files, a directory of them such as pg_wal, or a data directory')
    .addHelpText(
      'after',
      '\nEnds with 0 if all is well up to the end of the files, or up to where nothing has been written yet: zeros, or pages' +
        '\nleft from an earlier use of a recycled file. Ends with 8 at damage, where WAL is missing in the middle, and if a' +
        '\nrecord could not be decoded.',
    )
    .action((paths: string[]) => verify(context, paths));
}

/** What has been found so far. */
class Findings {
  records = 0;
  bytes = 0;
  imageBytes = 0;
  firstLsn: number | undefined;
  lastLsn: number | undefined;
  endLsn: number | undefined;
  undecodable = 0;
}

async function verify(context: CliContext, paths: readonly string[]): Promise<void> {
  const progress = new Progress(context, 'verifying WAL');
  const writer = new ReportWriter(context, progress);
  const source = await WalSource.open(context.files, paths);
  const record = new DecodedRecord(source.segments.version);
  const findings = new Findings();
  let end: WalScanEnd | undefined;
  let damage: CorruptionError | undefined;
  try {
    end = await source.scan({
      onRecord: (reader) => {
        count(findings, reader);
        const problem = checkRecord(record, reader, findings);
        if (problem !== undefined) reportRecord(context, writer, source, reader, problem);
        return true;
      },
      afterChunk: async (doneBytes, totalBytes) => {
        progress.report(doneBytes, totalBytes);
        await writer.flush();
      },
    });
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    damage = error;
  } finally {
    progress.clear();
  }
  report(context, writer, source, findings, end, damage);
  await writer.flush();
  if (damage !== undefined) throw damage;
  if (findings.undecodable > 0) {
    const what = findings.undecodable === 1 ? 'a record' : `${findings.undecodable} records`;
    throw new CorruptionError('UNDECODABLE_RECORDS', `${what} cannot be decoded`);
  }
}

function count(findings: Findings, reader: WalReader): void {
  findings.records++;
  findings.bytes += reader.recordLength;
  findings.firstLsn ??= reader.startLsn;
  findings.lastLsn = reader.startLsn;
  findings.endLsn = reader.endLsn;
}

/** Decodes header and body. Returns what is wrong with them. */
function checkRecord(
  record: DecodedRecord,
  reader: WalReader,
  findings: Findings,
): CorruptionError | undefined {
  let problem: CorruptionError | undefined;
  try {
    reader.decode(record);
    findings.imageBytes += imageBytes(record);
    const body = decodeBodyOrError(record);
    if (body instanceof CorruptionError) problem = body;
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    problem = error;
  }
  if (problem !== undefined) findings.undecodable++;
  return problem;
}

function reportRecord(
  context: CliContext,
  writer: ReportWriter,
  source: WalSource,
  reader: WalReader,
  problem: CorruptionError,
): void {
  const { view } = reader.workspace;
  const resourceManager = view.getUint8(reader.recordOffset + RECORD_RESOURCE_MANAGER);
  const info = view.getUint8(reader.recordOffset + RECORD_INFO);
  const lsn = formatLsn(reader.startLsn);
  const name = resourceManagerName(resourceManager);
  const kind = kindName(resourceManager, info);
  if (context.isJson) {
    const place = locateLsn(source.segments, reader.startLsn);
    writer.json({ undecodable: { lsn, ...place, resourceManager: name, kind, reason: problem.reason } });
  } else {
    writer.line(`cannot be decoded: ${lsn} ${name} ${kind}: ${problem.reason}`);
  }
}

function report(
  context: CliContext,
  writer: ReportWriter,
  source: WalSource,
  findings: Findings,
  end: WalScanEnd | undefined,
  damage: CorruptionError | undefined,
): void {
  const { segments, abandonedPaths, version, segmentBytes, systemIdentifier } = source.segments;
  const { records, bytes, undecodable } = findings;
  const [first, last, endOfLast] = [findings.firstLsn, findings.lastLsn, findings.endLsn].map((lsn) =>
    lsn === undefined ? undefined : formatLsn(lsn),
  );
  if (context.isJson) {
    writer.json({
      postgresVersion: version.major,
      systemIdentifier: String(systemIdentifier),
      segmentBytes,
      files: segments.length,
      abandonedFiles: abandonedPaths.length,
      records,
      bytes,
      imageBytes: findings.imageBytes,
      undecodable,
      firstLsn: first,
      lastLsn: last,
      endLsn: endOfLast,
      end: endJson(end, damage),
    });
    return;
  }
  const abandoned =
    abandonedPaths.length === 0 ? '' : `, ${abandonedPaths.length} more of timelines left behind`;
  const plural = segments.length === 1 ? '' : 's';
  writer.line(
    `WAL        PostgreSQL ${version.major}, system ${systemIdentifier}, ` +
      `${segments.length} file${plural} of ${segmentBytes / 1024 / 1024} MiB${abandoned}`,
  );
  writer.line(
    `records    ${records}, ${formatBytes(bytes)}, of which full-page images ${formatBytes(findings.imageBytes)}`,
  );
  if (records > 0) writer.line(`from       ${first}\nlast       ${last}, ends before ${endOfLast}`);
  writer.line(`undecoded  ${undecodable}`);
  writer.line(`end        ${endText(end, damage)}`);
}

function endJson(end: WalScanEnd | undefined, damage: CorruptionError | undefined): object | undefined {
  if (damage !== undefined) {
    const { lsn, ...place } = damage.place;
    return {
      kind: 'damage',
      ...(lsn === undefined ? {} : { lsn: formatLsn(lsn) }),
      reason: damage.reason,
      ...place,
    };
  }
  return end === undefined ? undefined : { ...end, lsn: formatLsn(end.lsn) };
}

function endText(end: WalScanEnd | undefined, damage: CorruptionError | undefined): string {
  if (damage !== undefined) return `DAMAGE: ${damage.reason}\n           ${placeText(damage.place)}`;
  if (end === undefined) return 'unknown';
  const what = { zeros: 'zeros', recycled: 'recycled file', files: 'end of the files', visitor: 'stopped' }[
    end.kind
  ];
  return `${what}: ${end.reason}\n           ${placeText(end)}`;
}

function placeText({ lsn, file, offset }: ErrorPlace | WalScanEnd): string {
  const parts = lsn === undefined ? [] : [`LSN ${formatLsn(lsn)}`];
  if (file !== undefined) parts.push(`file ${file}`);
  if (offset !== undefined) parts.push(`offset ${offset}`);
  return parts.join(', ');
}
