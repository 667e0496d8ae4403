import { type AuxiliaryObject, AuxiliaryStreamEncoder } from '../contracts/auxiliary-stream.ts';
import { formatPageServiceCommand, type PageServiceCommand } from '../contracts/page-commands.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import type { CopyEnd, CopyStream } from '../libpq/copy-stream.ts';

/** A page service takes messages of 10 000 bytes. */
const PIECE_BYTES_MAX = 8192;
/** While more is unsent, the next object waits. */
const UNSENT_BYTES_MAX: number = 1024 * 1024;

export type PutAuxiliary = Extract<PageServiceCommand, { readonly kind: 'PutAuxiliary' }>;

/**
 * Gives a page service objects to be kept beside WAL, as many as one stream may have: the rest is not asked for. Where it
 * fails the connection is gone.
 * @returns how many there were
 * @throws PostgresError where the service refuses; what the connection failed of
 */
export async function putAuxiliaryObjects(
  connection: ClientConnection,
  command: PutAuxiliary,
  objects: AsyncIterable<AuxiliaryObject>,
): Promise<number> {
  let end: CopyEnd | undefined;
  const copy = await connection.copyBoth(formatPageServiceCommand(command), {
    onCopyData: () => undefined,
    onCopyEnd: (how) => {
      end = how;
    },
  });
  const encoder = new AuxiliaryStreamEncoder();
  let count = 0;
  send(copy, encoder.header());
  for await (const object of objects) {
    const frame = encoder.object(object);
    if (frame === undefined) break;
    // It says why when the copy is ended.
    if (end !== undefined) break;
    send(copy, frame);
    count++;
    await copy.drained(UNSENT_BYTES_MAX);
  }
  if (end === undefined) send(copy, encoder.end());
  await connection.endCopy();
  return count;
}

function send(copy: CopyStream, frame: Uint8Array): void {
  for (let at = 0; at < frame.length; at += PIECE_BYTES_MAX)
    copy.sendCopyData(frame.subarray(at, at + PIECE_BYTES_MAX));
}
