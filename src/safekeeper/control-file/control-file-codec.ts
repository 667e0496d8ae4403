import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import {
  checkMembership,
  type MembershipConfiguration,
  type SafekeeperAddress,
} from '../../contracts/membership.ts';
import { checkTermHistory } from '../../contracts/term-history.ts';
import { isSegmentSize } from '../../postgres/wal/page-header.ts';
import type { PartialSegment, PersistentState, ServerInfo } from '../consensus/persistent-state.ts';
import { JsonFields, refuse } from './json-fields.ts';

const FORMAT = 'varve-safekeeper-control';
const FORMAT_VERSION = 1;
/** A longer file is none of ours: a term history of 100 000 entries has 5 MB. */
export const CONTROL_FILE_BYTES_MAX: number = 64 * 1024 * 1024;
const HEADER_LINE = /^([a-z-]{1,64}) ([0-9]{1,9}) ([0-9a-f]{8}) (0|[1-9][0-9]{0,9})$/;
const HEADER_BYTES_MAX = 128;
const NEWLINE = 0x0a;

const STATE_FIELDS = [
  'tenantId',
  'timelineId',
  'membership',
  'term',
  'termHistory',
  'server',
  'timelineStartLsn',
  'localStartLsn',
  'commitLsn',
  'backupLsn',
  'peerHorizonLsn',
  'remoteConsistentLsn',
  'partialSegments',
  'evictedAtLsn',
  'createdAtMs',
];
const PARTIAL_STATUSES: readonly PartialSegment['status'][] = ['in-progress', 'uploaded', 'deleting'];

/** A control file's bytes, as docs/formats/safekeeper-control-file.md says. */
export function encodeControlFile(state: PersistentState): Uint8Array {
  const { membership, server } = state;
  const encodeSet = (set: readonly SafekeeperAddress[]): object[] =>
    set.map(({ id, host, pgPort }) => ({ id, host, pgPort }));
  const content = {
    tenantId: state.tenantId,
    timelineId: state.timelineId,
    membership: {
      generation: membership.generation,
      members: encodeSet(membership.members),
      newMembers: membership.newMembers === undefined ? null : encodeSet(membership.newMembers),
    },
    term: state.term,
    termHistory: state.termHistory.map(({ term, lsn }) => ({ term, lsn: formatLsn(lsn) })),
    server: {
      pgVersion: server.pgVersion,
      systemIdentifier: server.systemIdentifier.toString(),
      segmentBytes: server.segmentBytes,
    },
    timelineStartLsn: formatLsn(state.timelineStartLsn),
    localStartLsn: formatLsn(state.localStartLsn),
    commitLsn: formatLsn(state.commitLsn),
    backupLsn: formatLsn(state.backupLsn),
    peerHorizonLsn: formatLsn(state.peerHorizonLsn),
    remoteConsistentLsn: formatLsn(state.remoteConsistentLsn),
    partialSegments: state.partialSegments.map(({ status, name, commitLsn, flushLsn, term }) => {
      return { status, name, commitLsn: formatLsn(commitLsn), flushLsn: formatLsn(flushLsn), term };
    }),
    evictedAtLsn: state.evictedAtLsn === undefined ? null : formatLsn(state.evictedAtLsn),
    createdAtMs: state.createdAtMs,
  };
  const body = new TextEncoder().encode(`${JSON.stringify(content, undefined, 2)}\n`);
  const crc = crc32c(body).toString(16).padStart(8, '0');
  const header = new TextEncoder().encode(`${FORMAT} ${FORMAT_VERSION} ${crc} ${body.length}\n`);
  const bytes = new Uint8Array(header.length + body.length);
  bytes.set(header);
  bytes.set(body, header.length);
  return bytes;
}

/**
 * Reads a control file: all of it, and nothing that is not known.
 * @throws CorruptionError (`BAD_CONTROL_FILE`) with the file, for anything that `encodeControlFile` does not write
 */
export function decodeControlFile(bytes: Uint8Array, file: string): PersistentState {
  try {
    return decodeState(decodeBody(bytes));
  } catch (error) {
    // What the checks of ids, LSNs, memberships and histories have to say.
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
    throw new CorruptionError('BAD_CONTROL_FILE', error.reason, { file }, error);
  }
}

/** Checks the first line, and what it says of the rest, which it returns parsed. */
function decodeBody(bytes: Uint8Array): unknown {
  const lineEnd = bytes.subarray(0, HEADER_BYTES_MAX).indexOf(NEWLINE);
  const line = lineEnd < 0 ? '' : new TextDecoder('latin1').decode(bytes.subarray(0, lineEnd));
  const match = HEADER_LINE.exec(line);
  if (match === null || match[1] !== FORMAT) refuse('this does not begin as a control file does');
  if (match[2] !== String(FORMAT_VERSION)) {
    refuse(`this is version ${match[2]} of the format, only ${FORMAT_VERSION} is known`);
  }
  const body = bytes.subarray(lineEnd + 1);
  if (body.length !== Number(match[4])) {
    refuse(`${body.length} bytes come after the first line, which announces ${match[4]}`);
  }
  if (crc32c(body) !== Number.parseInt(match[3] as string, 16)) refuse('the CRC is wrong');
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    // What a parser says quotes the text.
    return refuse('the content is no JSON');
  }
}

function decodeState(content: unknown): PersistentState {
  const fields = new JsonFields(content, 'state', STATE_FIELDS);
  const termHistory = fields
    .objects('termHistory', ['term', 'lsn'])
    .map((entry) => ({ term: entry.count('term'), lsn: entry.lsn('lsn') }));
  checkTermHistory(termHistory);
  return {
    tenantId: parseTenantId(fields.text('tenantId')),
    timelineId: parseTimelineId(fields.text('timelineId')),
    membership: decodeMembership(fields.object('membership', ['generation', 'members', 'newMembers'])),
    term: fields.count('term'),
    termHistory,
    server: decodeServer(fields.object('server', ['pgVersion', 'systemIdentifier', 'segmentBytes'])),
    timelineStartLsn: fields.lsn('timelineStartLsn'),
    localStartLsn: fields.lsn('localStartLsn'),
    commitLsn: fields.lsn('commitLsn'),
    backupLsn: fields.lsn('backupLsn'),
    peerHorizonLsn: fields.lsn('peerHorizonLsn'),
    remoteConsistentLsn: fields.lsn('remoteConsistentLsn'),
    partialSegments: fields
      .objects('partialSegments', ['status', 'name', 'commitLsn', 'flushLsn', 'term'])
      .map(decodePartialSegment),
    evictedAtLsn: decodeOptionalLsn(fields, 'evictedAtLsn'),
    createdAtMs: fields.count('createdAtMs'),
  };
}

function decodeMembership(fields: JsonFields): MembershipConfiguration {
  const decodeSet = (name: string): SafekeeperAddress[] =>
    fields.objects(name, ['id', 'host', 'pgPort']).map((member) => {
      return { id: member.count('id'), host: member.text('host'), pgPort: member.count('pgPort', 0xffff) };
    });
  const membership = {
    generation: fields.count('generation'),
    members: decodeSet('members'),
    newMembers: fields.isNull('newMembers') ? undefined : decodeSet('newMembers'),
  };
  checkMembership(membership);
  return membership;
}

function decodeServer(fields: JsonFields): ServerInfo {
  const segmentBytes = fields.count('segmentBytes');
  if (!isSegmentSize(segmentBytes)) refuse(`there are no WAL segments of ${segmentBytes} bytes`);
  return {
    pgVersion: fields.count('pgVersion'),
    systemIdentifier: fields.u64('systemIdentifier'),
    segmentBytes,
  };
}

function decodePartialSegment(fields: JsonFields): PartialSegment {
  const text = fields.text('status');
  const status = PARTIAL_STATUSES.find((known) => known === text);
  if (status === undefined) refuse(`${JSON.stringify(text)} is no status of a partial segment`);
  return {
    status,
    name: fields.text('name'),
    commitLsn: fields.lsn('commitLsn'),
    flushLsn: fields.lsn('flushLsn'),
    term: fields.count('term'),
  };
}

function decodeOptionalLsn(fields: JsonFields, name: string): Lsn | undefined {
  return fields.isNull(name) ? undefined : fields.lsn(name);
}
