import type { TenantId, TimelineId } from '../base/ids.ts';
import type { Lsn } from '../base/lsn.ts';
import { formatPageServiceCommand, type PageServiceCommand } from '../contracts/page-commands.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { ProtocolError } from '../postgres/wire/wire-error.ts';

/** What a page service copies out. */
export type CopiedOut = Extract<
  PageServiceCommand,
  { readonly kind: 'BaseBackup' | 'FullBackup' | 'StartSet' }
>;

/** Copies a backup or a start set, as ClientConnection.copyOut. */
export function copyFromPageService(
  connection: ClientConnection,
  command: CopiedOut,
): AsyncGenerator<Uint8Array, void, undefined> {
  return connection.copyOut(formatPageServiceCommand(command));
}

/**
 * Keeps an LSN readable for some minutes from now, or renews that.
 * @returns until when, in milliseconds since 1970; undefined where the LSN is not promised any more
 * @throws as ClientConnection.query
 */
export async function leaseLsn(
  connection: ClientConnection,
  target: { readonly tenantId: TenantId; readonly timelineId: TimelineId },
  lsn: Lsn,
): Promise<number | undefined> {
  const { rows } = await connection.query(formatPageServiceCommand({ kind: 'LeaseLsn', ...target, lsn }));
  const text = rows[0]?.[0];
  if (text === null) return undefined;
  const validUntilMs = text === undefined ? Number.NaN : Number(text);
  if (Number.isSafeInteger(validUntilMs) && validUntilMs >= 0) return validUntilMs;
  throw new ProtocolError('BAD_LEASE', `a lease is answered by ${text ?? 'nothing'}`);
}
