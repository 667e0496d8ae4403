/** Pieces as long as this are passed on as they are. */
const LARGE_BYTES: number = 32 * 1024;
const CHUNK_BYTES: number = 128 * 1024;

/**
 * Puts small pieces together, so that what is sent for ten thousand small files is not thirty thousand messages. The
 * bytes and their order stay. Chunks are not empty, and nobody else writes into them.
 */
export async function* joinPieces(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunk = new Uint8Array(CHUNK_BYTES);
  let length = 0;
  for await (const piece of pieces) {
    if (length > 0 && (piece.length >= LARGE_BYTES || length + piece.length > CHUNK_BYTES)) {
      yield chunk.subarray(0, length);
      chunk = new Uint8Array(CHUNK_BYTES);
      length = 0;
    }
    if (piece.length >= LARGE_BYTES) yield piece;
    else {
      chunk.set(piece, length);
      length += piece.length;
    }
  }
  if (length > 0) yield chunk.subarray(0, length);
}
