import { constants, createZstdDecompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/**
 * The part of a zlib stream's insides that is used. zstdDecompressSync makes a stream and a context for each call, which
 * costs twice what unpacking a page does, and much garbage; one that is kept does not.
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
  /** Nothing is left in it of what it unpacked last. */
  isAtFrameStart: boolean;
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
  const output = Buffer.allocUnsafeSlow(rawLength + 1);
  const { handle, state } = kept;
  // Behind the end of a frame a context is as good as new, and Node.js resets it by making another, which costs as much as
  // unpacking a page.
  if (!kept.isAtFrameStart) handle.reset();
  kept.isAtFrameStart = false;
  handle.writeSync(constants.ZSTD_e_end, packed, 0, packed.length, output, 0, output.length);
  if (kept.failure !== undefined || state[0] !== 1 || state[1] !== 0) {
    const { failure } = kept;
    // Nobody knows what state it is in.
    handle.close();
    kept = undefined;
    throw new Error(failure ?? `it has not the ${rawLength} bytes that it should have`);
  }
  kept.isAtFrameStart = isOneFrame(packed);
  return new Uint8Array(output.buffer, 0, rawLength);
}

/**
 * Whether the bytes, which have been unpacked without an error, end where the frame at their beginning ends (RFC 8878,
 * 3.1.1): so has the context then.
 */
function isOneFrame(packed: Uint8Array): boolean {
  const descriptor = packed[4] as number;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >>> 6;
  const contentSizeBytes = contentSizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << contentSizeFlag;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] as number;
  let at = 5 + (isSingleSegment ? 0 : 1) + dictionaryIdBytes + contentSizeBytes;
  for (;;) {
    if (at + 3 > packed.length) return false;
    const header =
      (packed[at] as number) | ((packed[at + 1] as number) << 8) | ((packed[at + 2] as number) << 16);
    // A block of one byte that is repeated has only that byte.
    at += 3 + (((header >>> 1) & 3) === BLOCK_REPEATED ? 1 : header >>> 3);
    if ((header & 1) !== 0) return at + ((descriptor & 4) === 0 ? 0 : CHECKSUM_BYTES) === packed.length;
  }
}

const BLOCK_REPEATED = 1;
const CHECKSUM_BYTES = 4;

function makeUnpacker(): Unpacker | undefined {
  const insides = createZstdDecompress() as ZlibInsides;
  const { _handle: handle, _writeState: state } = insides;
  if (!(state instanceof Uint32Array) || typeof handle?.reset !== 'function') return undefined;
  if (typeof handle.writeSync !== 'function' || typeof handle.close !== 'function') return undefined;
  const unpacker: Unpacker = {
    handle: handle as ZlibHandle,
    state,
    failure: undefined,
    isAtFrameStart: true,
  };
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
