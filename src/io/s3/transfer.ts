import { Readable } from 'node:stream';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { VarveError } from '../../base/errors.ts';
import { bodyPieces, joinPieces } from '../object-body.ts';
import type { ObjectBody } from '../objects.ts';
import { passing } from './errors.ts';
import type { Try } from './requests.ts';

/** Larger buffers are sent like streams: their progress can be seen, and nothing hashes them in one go. */
const BUFFER_BYTES_MAX = 1024 * 1024;
const SEND_PIECE_BYTES = 256 * 1024;

/** What the SDK sends. Pieces are made anew at each try. */
export function openBody(
  body: ObjectBody,
  attempt: Try,
): { content: Uint8Array | Readable; release: () => void } {
  const nothing = (): void => undefined;
  if (body instanceof Uint8Array && body.length <= BUFFER_BYTES_MAX)
    return { content: body, release: nothing };
  const content = Readable.from(sentPieces(body, attempt), { highWaterMark: 1 });
  // A pipe does not tell the request of what fails at its beginning.
  content.on('error', attempt.fail);
  const release = (): void => {
    content.destroy();
  };
  attempt.signal.addEventListener('abort', release, { once: true });
  return { content, release };
}

async function* sentPieces(body: ObjectBody, attempt: Try): AsyncGenerator<Uint8Array> {
  const isLent = !(body instanceof Uint8Array);
  for await (const piece of bodyPieces(body, attempt.signal)) {
    for (let start = 0; start < piece.length; start += SEND_PIECE_BYTES) {
      attempt.progress();
      // Copied: what is sent is kept beyond the next piece.
      yield isLent
        ? piece.slice(start, start + SEND_PIECE_BYTES)
        : piece.subarray(start, start + SEND_PIECE_BYTES);
    }
  }
}

/** Takes in the content of an answer. `expectedBytesMax` is what was asked for. */
export async function takeIn(
  what: string,
  answer: GetObjectCommandOutput,
  expectedBytesMax: number | undefined,
  attempt: Try,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let doneBytes = 0;
  for await (const piece of answer.Body as Readable) {
    attempt.progress();
    pieces.push(piece);
    doneBytes += piece.length;
    if (expectedBytesMax !== undefined && doneBytes > expectedBytesMax) {
      throw new VarveError('unavailable', 'OBJECT_STORE', `${what}: more has come than was asked for`);
    }
  }
  // Behind some proxies an answer has no length: its end is then marked otherwise.
  if (doneBytes !== (answer.ContentLength ?? doneBytes)) throw passing(`${what}: the answer was cut off`);
  return joinPieces(pieces, doneBytes);
}

export function sizeOf(what: string, sizeBytes: number | undefined): number {
  if (sizeBytes !== undefined && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0) return sizeBytes;
  throw new VarveError('unavailable', 'OBJECT_STORE', `${what}: an answer without the object’s size`);
}
