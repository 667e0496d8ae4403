/** Shorter pieces are copied, and put together: a chunk of the network's is not to be kept for a few of its bytes. */
const GATHERED_PIECE_BYTES_MAX = 16 * 1024;
const GATHER_BYTES = 64 * 1024;

interface Waiting {
  readonly bytes: Uint8Array;
  lengthBytes: number;
  readonly isGathered: boolean;
}

/** WAL that has come and is not taken yet, in the order in which it came. */
export class WaitingWal {
  readonly #waiting: Waiting[] = [];
  /** A buffer of gathered pieces that was used up, to be filled anew. */
  #spare: Uint8Array | undefined;
  #lengthBytes = 0;

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** True: `push` would copy a piece of this length. False: the piece must stay as it is until it was used. */
  static isCopied(lengthBytes: number): boolean {
    return lengthBytes < GATHERED_PIECE_BYTES_MAX;
  }

  push(piece: Uint8Array): void {
    this.#lengthBytes += piece.length;
    if (!WaitingWal.isCopied(piece.length)) {
      this.#waiting.push({ bytes: piece, lengthBytes: piece.length, isGathered: false });
      return;
    }
    let last = this.#waiting.at(-1);
    if (last === undefined || !last.isGathered || GATHER_BYTES - last.lengthBytes < piece.length) {
      last = { bytes: this.#spare ?? new Uint8Array(GATHER_BYTES), lengthBytes: 0, isGathered: true };
      this.#spare = undefined;
      this.#waiting.push(last);
    }
    last.bytes.set(piece, last.lengthBytes);
    last.lengthBytes += piece.length;
  }

  /** What comes next, if anything waits. `use` gives it back when it is not looked at any more. */
  async take(
    use: (bytes: Uint8Array) => Promise<void>,
    giveBack: (piece: Uint8Array) => void,
  ): Promise<void> {
    const next = this.#waiting.shift();
    if (next === undefined) return;
    const { bytes, lengthBytes, isGathered } = next;
    this.#lengthBytes -= lengthBytes;
    await use(bytes.subarray(0, lengthBytes));
    if (isGathered) this.#spare = bytes;
    else giveBack(bytes);
  }
}
