import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';

/** What a message's reader says of a failure, and does when nobody wants the rest. */
export interface BodyEvents {
  readonly toError: (error: unknown) => unknown;
  readonly onCancel: () => void;
}

/** The body of a message as a web stream, which is read no faster than whoever has it wants. */
export function readBody(message: IncomingMessage, events: BodyEvents): ReadableStream<Uint8Array> {
  const chunks = message.iterator({ destroyOnReturn: false });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (done) return controller.close();
          const { buffer, byteOffset, byteLength } = value as Buffer;
          controller.enqueue(new Uint8Array(buffer, byteOffset, byteLength));
        } catch (error) {
          controller.error(events.toError(error));
        }
      },
      cancel: events.onCancel,
    },
    // Nothing is read ahead: the socket's own buffers do that.
    { highWaterMark: 0 },
  );
}

/**
 * Writes a web stream, no faster than it is taken, and ends the target. When the target closes before, the rest is
 * cancelled; when the stream fails, so does this call, and the target is the caller's to destroy.
 */
export async function writeBody(body: ReadableStream<Uint8Array>, target: Writable): Promise<void> {
  const reader = body.getReader();
  let cancelling: Promise<void> | undefined;
  const onClose = (): void => {
    cancelling ??= reader.cancel();
  };
  target.on('close', onClose);
  if (target.destroyed) onClose();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!target.write(value) && !target.destroyed) await drainOrClose(target);
    }
  } finally {
    target.off('close', onClose);
  }
  await cancelling;
  if (!target.destroyed) target.end();
}

function drainOrClose(target: Writable): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      target.off('drain', settle);
      target.off('close', settle);
      resolve();
    };
    target.on('drain', settle);
    target.on('close', settle);
  });
}
