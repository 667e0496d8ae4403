import { BadRequestError, VarveError } from '../base/errors.ts';
import type { Clock } from '../io/clock.ts';

export interface StreamBounds {
  readonly clock: Clock;
  readonly bytesMax: number;
  /** Whoever sends nothing for so long, while something is awaited, has stalled. */
  readonly stallMs: number;
}

/**
 * The chunks of a body as they come. Whoever leaves early cancels the rest.
 * @throws BadRequestError BODY_TOO_LARGE; VarveError ‘unavailable’ / BODY_STALLED; what the body itself fails of
 */
export async function* boundedChunks(
  body: ReadableStream<Uint8Array> | null,
  { clock, bytesMax, stallMs }: StreamBounds,
): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  let lengthBytes = 0;
  try {
    for (;;) {
      const { done, value } = await readInTime(reader, clock, stallMs);
      if (done) return;
      lengthBytes += value.length;
      if (lengthBytes > bytesMax) throw tooLarge(bytesMax);
      yield value;
    }
  } finally {
    // Nobody waits for whoever has stalled.
    reader.cancel().catch(() => undefined);
  }
}

async function readInTime(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  clock: Clock,
  stallMs: number,
): Promise<Awaited<ReturnType<typeof reader.read>>> {
  const { promise: stalled, reject } = Promise.withResolvers<never>();
  const timer = clock.setTimer(stallMs, () =>
    reject(new VarveError('unavailable', 'BODY_STALLED', `nothing of the body came for ${stallMs} ms`)),
  );
  try {
    return await Promise.race([reader.read(), stalled]);
  } finally {
    timer.cancel();
  }
}

export const tooLarge = (bytesMax: number): BadRequestError =>
  new BadRequestError('BODY_TOO_LARGE', `the body has more than ${bytesMax} bytes`);

/**
 * Reads a body whole, as UTF-8 text.
 * @throws BadRequestError BODY_TOO_LARGE, before more than the limit is kept; BAD_UTF8
 */
export async function readBoundedText(
  body: AsyncIterable<Uint8Array> | null,
  limitBytes: number,
): Promise<string> {
  if (body === null) return '';
  const chunks: Uint8Array[] = [];
  let lengthBytes = 0;
  // Leaving the loop cancels the stream.
  for await (const chunk of body) {
    lengthBytes += chunk.length;
    if (lengthBytes > limitBytes) throw tooLarge(limitBytes);
    chunks.push(chunk);
  }
  const whole = new Uint8Array(lengthBytes);
  let position = 0;
  for (const chunk of chunks) {
    whole.set(chunk, position);
    position += chunk.length;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(whole);
  } catch (error) {
    throw new BadRequestError('BAD_UTF8', 'the body is not UTF-8', {}, error);
  }
}
