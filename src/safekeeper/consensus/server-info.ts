import { BadRequestError } from '../../base/errors.ts';
import { getPostgresVersion } from '../../postgres/versions/version.ts';
import { isSegmentSize } from '../../postgres/wal/page-header.ts';
import type { ServerInfo } from './persistent-state.ts';

const majorOf = (pgVersion: number): number => Math.floor(pgVersion / 10_000);

/**
 * Refuses a server whose WAL cannot be this timeline's, or cannot be read here: what is noted down of a server is
 * needed to open the timeline again. What one side does not know (0) fits everything.
 * @throws BadRequestError naming what differs, or the version that is not known
 */
export function checkServer(known: ServerInfo, told: ServerInfo): void {
  if (!isSegmentSize(told.segmentBytes))
    differ('BAD_SEGMENT_SIZE', 'WAL segment size', told.segmentBytes, 'a power of two from 1 MiB to 1 GiB');
  if (told.segmentBytes !== known.segmentBytes) {
    differ('WRONG_SEGMENT_SIZE', 'WAL segment size', told.segmentBytes, known.segmentBytes);
  }
  if (known.pgVersion !== 0 && told.pgVersion !== 0 && majorOf(known.pgVersion) !== majorOf(told.pgVersion)) {
    differ('WRONG_MAJOR', 'PostgreSQL major version', majorOf(told.pgVersion), majorOf(known.pgVersion));
  }
  const { systemIdentifier } = told;
  if (
    known.systemIdentifier !== 0n &&
    systemIdentifier !== 0n &&
    known.systemIdentifier !== systemIdentifier
  ) {
    differ('WRONG_SYSTEM_IDENTIFIER', 'system identifier', systemIdentifier, known.systemIdentifier);
  }
  if (told.pgVersion !== 0) getPostgresVersion(majorOf(told.pgVersion));
}

function differ(code: string, what: string, told: number | bigint, known: number | bigint | string): never {
  throw new BadRequestError(code, `the server's ${what} is ${told}, the timeline's is ${known}`);
}

/** What is known after `checkServer`; the same object where there is nothing new. */
export function updatedServer(known: ServerInfo, told: ServerInfo): ServerInfo {
  const pgVersion = told.pgVersion === 0 ? known.pgVersion : told.pgVersion;
  const systemIdentifier = told.systemIdentifier === 0n ? known.systemIdentifier : told.systemIdentifier;
  if (pgVersion === known.pgVersion && systemIdentifier === known.systemIdentifier) return known;
  return { pgVersion, systemIdentifier, segmentBytes: known.segmentBytes };
}
