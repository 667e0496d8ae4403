import { constants, createZstdDecompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/**
 * The part of a zlib stream's insides that is used. zstdDecompressSync makes a stream and a context for each call, which
 * costs twice what unpacking a page does, and much garbage; one that is kept and reset does not.
 */
interface ZlibHandle {
  reset(): void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  close(): void;
  onerror: (message: string) => void;
}

interface ZlibInsides {
  readonly _handle?: Partial<ZlibHandle>;
  /** Output bytes that are left, input bytes that are left. */
  readonly _writeState?: Uint32Array;
}

/** A context that is kept. */
interface Unpacker {
  readonly handle: ZlibHandle;
  readonly state: Uint32Array;
  failure: string | undefined;
}

/** undefined: this Node.js has other insides, or the last input was damaged. */
let kept: Unpacker | undefined;
/** Whether the insides are what they were when this was written. */
let isUsable = true;

/**
 * Unpacks one zstd frame of known length. The result has memory of its own.
 * @throws Error where the frame is damaged or has another length
 */
export function zstdUnpack(packed: Uint8Array, rawLength: number): Uint8Array {
  if (isUsable) kept ??= makeUnpacker();
  if (kept === undefined) {
    isUsable = false;
    return unpackByItself(packed, rawLength);
  }
  // One byte more than there should be, to see what is too long.
  const output = new Uint8Array(rawLength + 1);
  const { handle, state } = kept;
  handle.reset();
  handle.writeSync(constants.ZSTD_e_end, packed, 0, packed.length, output, 0, output.length);
  if (kept.failure !== undefined || state[0] !== 1 || state[1] !== 0) {
    const { failure } = kept;
    // Nobody knows what state it is in.
    handle.close();
    kept = undefined;
    throw new Error(failure ?? `it has not the ${rawLength} bytes that it should have`);
  }
  return output.subarray(0, rawLength);
}

function makeUnpacker(): Unpacker | undefined {
  const insides = createZstdDecompress() as ZlibInsides;
  const { _handle: handle, _writeState: state } = insides;
  if (!(state instanceof Uint32Array) || typeof handle?.reset !== 'function') return undefined;
  if (typeof handle.writeSync !== 'function' || typeof handle.close !== 'function') return undefined;
  const unpacker: Unpacker = { handle: handle as ZlibHandle, state, failure: undefined };
  unpacker.handle.onerror = (message) => {
    unpacker.failure = message;
  };
  return unpacker;
}

/** With nothing but what is documented. */
export function unpackByItself(packed: Uint8Array, rawLength: number): Uint8Array {
  const unpacked = zstdDecompressSync(packed, {
    maxOutputLength: Math.max(1, rawLength),
    chunkSize: Math.max(CHUNK_BYTES_MIN, rawLength),
  });
  if (unpacked.length !== rawLength) {
    throw new Error(`it has ${unpacked.length} bytes instead of ${rawLength}`);
  }
  // zlib gives a part of larger memory, which would be kept as long as the result is.
  return new Uint8Array(unpacked);
}

/** zlib does not take less. */
const CHUNK_BYTES_MIN = 64;
const LEVEL = 1;
const PARAMETERS = { [constants.ZSTD_c_compressionLevel]: LEVEL };

export function zstdPack(raw: Uint8Array): Uint8Array {
  return zstdCompressSync(raw, { params: PARAMETERS, chunkSize: Math.max(CHUNK_BYTES_MIN, raw.length) });
}
