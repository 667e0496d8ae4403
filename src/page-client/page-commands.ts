import { VarveError } from '../base/errors.ts';
import type { TenantId, TimelineId } from '../base/ids.ts';
import { type Lsn, parseLsn } from '../base/lsn.ts';
import { formatPageServiceCommand, type PageServiceCommand } from '../contracts/page-commands.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { ProtocolError } from '../postgres/wire/wire-error.ts';

/** What a page service copies out. */
export type CopiedOut = Extract<
  PageServiceCommand,
  { readonly kind: 'BaseBackup' | 'FullBackup' | 'StartSet' | 'FreeSpaceMaps' }
>;

/** Copies a backup, a start set or free space maps, as ClientConnection.copyOut. */
export function copyFromPageService(
  connection: ClientConnection,
  command: CopiedOut,
): AsyncGenerator<Uint8Array, void, undefined> {
  return connection.copyOut(formatPageServiceCommand(command));
}

interface Branch {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** What an LSN that was found for a moment is worth. */
export interface LsnAtTime {
  /**
   * `present`: all that was committed up to the moment is below the LSN, and nothing else; `future`: so far nothing later is
   * committed, and the LSN is where the pageserver is; `past`: all commits are later; `nodata`: there is no commit.
   */
  readonly kind: 'present' | 'future' | 'past' | 'nodata';
  readonly lsn: Lsn;
}

/** The end of the last record that the page service has. @throws as ClientConnection.query */
export async function lastLsn(connection: ClientConnection, branch: Branch): Promise<Lsn> {
  const { rows } = await connection.query(formatPageServiceCommand({ kind: 'LastLsn', ...branch }));
  return answeredLsn(rows[0]?.[0]);
}

/** Where a branch was at a moment. @param timeMicros since 1970 @throws as ClientConnection.query */
export async function lsnAtTime(
  connection: ClientConnection,
  branch: Branch,
  timeMicros: bigint,
): Promise<LsnAtTime> {
  const { rows } = await connection.query(
    formatPageServiceCommand({ kind: 'LsnAtTime', ...branch, timeMicros }),
  );
  const [kind, lsn] = rows[0] ?? [];
  if (kind === 'present' || kind === 'future' || kind === 'past' || kind === 'nodata')
    return { kind, lsn: answeredLsn(lsn) };
  throw new ProtocolError('BAD_LSN_AT_TIME', `a time is answered by ${kind ?? 'nothing'}`);
}

function answeredLsn(text: string | null | undefined): Lsn {
  try {
    return parseLsn(text ?? '');
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    throw new ProtocolError('BAD_LSN', `a question for an LSN is answered by ${text ?? 'nothing'}`);
  }
}

/**
 * Keeps an LSN readable for some minutes from now, or renews that.
 * @returns until when, in milliseconds since 1970; undefined where the LSN is not promised any more
 * @throws as ClientConnection.query
 */
export async function leaseLsn(
  connection: ClientConnection,
  target: Branch,
  lsn: Lsn,
): Promise<number | undefined> {
  const { rows } = await connection.query(formatPageServiceCommand({ kind: 'LeaseLsn', ...target, lsn }));
  const text = rows[0]?.[0];
  if (text === null) return undefined;
  const validUntilMs = text === undefined ? Number.NaN : Number(text);
  if (Number.isSafeInteger(validUntilMs) && validUntilMs >= 0) return validUntilMs;
  throw new ProtocolError('BAD_LEASE', `a lease is answered by ${text ?? 'nothing'}`);
}
