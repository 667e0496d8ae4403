import { BadRequestError } from '../base/errors.ts';
import { throwIfCancelled } from './cancelled.ts';
import type { GetOptions, ObjectBody } from './objects.ts';

/** How many bytes an object of this body has. */
export const bodySizeBytes = (body: ObjectBody): number =>
  body instanceof Uint8Array ? body.length : body.sizeBytes;

const badBody = (reason: string): BadRequestError => new BadRequestError('BAD_OBJECT_BODY', reason);

/**
 * The pieces of a body, from the first one. Empty ones are left out.
 * @throws BadRequestError BAD_OBJECT_BODY where they do not add up to the size that was promised
 */
export async function* bodyPieces(body: ObjectBody, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  throwIfCancelled(signal);
  if (body instanceof Uint8Array) {
    if (body.length > 0) yield body;
    return;
  }
  if (!Number.isSafeInteger(body.sizeBytes) || body.sizeBytes < 0) throw badBody('no size of an object');
  let doneBytes = 0;
  for await (const piece of body.pieces()) {
    throwIfCancelled(signal);
    doneBytes += piece.length;
    if (doneBytes > body.sizeBytes) throw badBody(`the pieces are more than ${body.sizeBytes} bytes`);
    if (piece.length > 0) yield piece;
  }
  if (doneBytes < body.sizeBytes)
    throw badBody(`the pieces end after ${doneBytes} of ${body.sizeBytes} bytes`);
}

export interface ByteRange {
  readonly start: number;
  /** Exclusive; undefined where the object ends. */
  readonly end: number | undefined;
}

/** @throws BadRequestError BAD_OBJECT_RANGE */
export function checkRange({ start = 0, end }: GetOptions): ByteRange {
  const isPosition = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
  if (!isPosition(start) || (end !== undefined && (!isPosition(end) || end < start))) {
    throw new BadRequestError('BAD_OBJECT_RANGE', `no range of an object: from ${start} to ${end}`);
  }
  return { start, end };
}

/** Puts pieces together. `sizeBytes` is their sum. */
export function joinPieces(pieces: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const joined = new Uint8Array(sizeBytes);
  let position = 0;
  for (const piece of pieces) {
    joined.set(piece, position);
    position += piece.length;
  }
  return joined;
}
