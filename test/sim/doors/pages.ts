/** What a disk writes whole or not at all. */
export const SECTOR_BYTES = 512;
export const PAGE_BYTES = 4096;
export const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;

const CHUNK_PAGES = 16;

/** Zeroed pages, cut from larger buffers: a buffer of its own for each page costs more than the page's use. */
export class PageArena {
  #chunk = new Uint8Array(0);
  #usedBytes = 0;
  readonly #free: Uint8Array[] = [];

  take(): Uint8Array {
    const reused = this.#free.pop();
    if (reused !== undefined) return reused.fill(0);
    if (this.#usedBytes === this.#chunk.length) {
      this.#chunk = new Uint8Array(CHUNK_PAGES * PAGE_BYTES);
      this.#usedBytes = 0;
    }
    const page = this.#chunk.subarray(this.#usedBytes, this.#usedBytes + PAGE_BYTES);
    this.#usedBytes += PAGE_BYTES;
    return page;
  }

  give(page: Uint8Array): void {
    this.#free.push(page);
  }
}

/** A page that a sync under way has promised to make durable as it was when the sync began. */
export interface Pin {
  readonly page: Page;
  /** Bit per sector that was dirty. */
  readonly sectors: number;
  /** The page as it was then, once somebody has written into it since. */
  frozen: Uint8Array | undefined;
  /** Bit per sector that was written since. */
  rewritten: number;
}

/** A page of a file, as the operating system's cache has it and as the disk has it. */
export class Page {
  readonly index: number;
  readonly cached: Uint8Array;
  /** undefined: zeros, since no sector was ever written to the disk. */
  durable: Uint8Array | undefined;
  /** Bit per sector whose cached content is not durable. */
  dirty = 0;
  readonly pins: Pin[] = [];

  constructor(index: number, cached: Uint8Array) {
    this.index = index;
    this.cached = cached;
  }

  /** Before the bytes from `start` to `end` of the cached page change. */
  beforeWrite(start: number, end: number): void {
    const last = (end - 1) >> 9;
    let sectors = 0;
    for (let sector = start >> 9; sector <= last; sector++) sectors |= 1 << sector;
    for (const pin of this.pins) {
      pin.frozen ??= this.cached.slice();
      pin.rewritten |= sectors;
    }
    this.dirty |= sectors;
  }

  /** Puts these sectors of `content` on the disk. */
  persist(content: Uint8Array, sectors: number, arena: PageArena): void {
    const durable = (this.durable ??= arena.take());
    for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
      if ((sectors & (1 << sector)) === 0) continue;
      const start = sector * SECTOR_BYTES;
      durable.set(content.subarray(start, start + SECTOR_BYTES), start);
    }
  }

  /** Forgets what is in the cache only. */
  revert(): void {
    if (this.durable === undefined) this.cached.fill(0);
    else this.cached.set(this.durable);
    this.dirty = 0;
    this.pins.length = 0;
  }
}
