import { BadRequestError } from '../base/errors.ts';

/**
 * Reads a body whole, as UTF-8 text.
 * @throws BadRequestError BODY_TOO_LARGE, before more than the limit is kept; BAD_UTF8
 */
export async function readBoundedText(
  body: ReadableStream<Uint8Array> | null,
  limitBytes: number,
): Promise<string> {
  if (body === null) return '';
  const chunks: Uint8Array[] = [];
  let lengthBytes = 0;
  // Leaving the loop cancels the stream.
  for await (const chunk of body) {
    lengthBytes += chunk.length;
    if (lengthBytes > limitBytes) {
      throw new BadRequestError('BODY_TOO_LARGE', `the body has more than ${limitBytes} bytes`);
    }
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
