import { once } from 'node:events';
import { constants, createGzip, createZstdCompress } from 'node:zlib';

export type BackupCompression = 'none' | 'gzip' | 'zstd';

/** The fastest level of both: who waits for a backup waits for the network or for pages. */
const LEVEL = 1;

/** Compresses a stream, in the threads that Node has for it. No more is read of `chunks` than is asked for of the result. */
export function compressStream(
  chunks: AsyncIterable<Uint8Array>,
  compression: BackupCompression,
): AsyncIterable<Uint8Array> {
  if (compression === 'none') return chunks;
  return compressed(chunks, compression);
}

async function* compressed(
  chunks: AsyncIterable<Uint8Array>,
  compression: 'gzip' | 'zstd',
): AsyncGenerator<Uint8Array> {
  const compressor =
    compression === 'gzip'
      ? createGzip({ level: LEVEL })
      : createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
  const ending = new AbortController();
  const pump = async (): Promise<void> => {
    for await (const chunk of chunks) {
      if (ending.signal.aborted) return;
      if (!compressor.write(chunk)) await once(compressor, 'drain', { signal: ending.signal });
    }
    compressor.end();
  };
  const pumping = pump().catch((error: unknown) => {
    compressor.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of compressor) yield chunk as Uint8Array;
  } finally {
    ending.abort();
    compressor.destroy();
    await pumping;
  }
}
