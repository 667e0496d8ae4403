import type { SeededRandom } from '../../support/seeded-random.ts';
import { PAGE_BYTES, Page, type PageArena, type Pin, SECTOR_BYTES, SECTORS_PER_PAGE } from './pages.ts';

/** What is left of something un-synced: nothing, all, or each piece with this probability. */
export interface SurvivalOdds {
  readonly sectorChance: number;
  /** For each sector that is left: that a bit of it is wrong. */
  readonly bitFlipChance: number;
}

/** What a sync will make durable. */
export interface SyncUnderWay {
  readonly pins: readonly Pin[];
  readonly sizeBytes: number;
}

/** Who counts the pages of a disk. */
export interface PageAccount {
  readonly arena: PageArena;
  /** Says whether there is room, and counts it. */
  takePage(): boolean;
  givePage(): void;
  /** The time that the machine shows. */
  wallMs(): number;
}

/** A file without its name: sparse pages, and for each what of it is durable. */
export class DiskFile {
  sizeBytes = 0;
  durableSizeBytes = 0;
  modifiedMs: number;
  /** A sync of this file ends no earlier than those that began before it. */
  syncEndsUs = 0;
  /** Names and open handles. */
  uses = 0;
  readonly #account: PageAccount;
  readonly #pages = new Map<number, Page>();
  /** Pages with dirty sectors, in the order of their first writes. */
  #dirtyPages: Page[] = [];

  constructor(account: PageAccount) {
    this.#account = account;
    this.modifiedMs = account.wallMs();
  }

  read(target: Uint8Array, start: number, length: number, position: number): number {
    const end = Math.min(position + length, this.sizeBytes);
    if (end <= position) return 0;
    for (let at = position; at < end; ) {
      const inPage = at % PAGE_BYTES;
      const pieceBytes = Math.min(PAGE_BYTES - inPage, end - at);
      const targetAt = start + at - position;
      const page = this.#pages.get((at - inPage) / PAGE_BYTES);
      if (page === undefined) target.fill(0, targetAt, targetAt + pieceBytes);
      else target.set(page.cached.subarray(inPage, inPage + pieceBytes), targetAt);
      at += pieceBytes;
    }
    return end - position;
  }

  /** Returns how many bytes there was room for. */
  write(source: Uint8Array, start: number, length: number, position: number): number {
    if (length === 0) return 0;
    const end = position + length;
    let at = position;
    while (at < end) {
      const inPage = at % PAGE_BYTES;
      const pieceBytes = Math.min(PAGE_BYTES - inPage, end - at);
      const page = this.#pageForWrite((at - inPage) / PAGE_BYTES);
      if (page === undefined) break;
      this.#willChange(page, inPage, inPage + pieceBytes);
      const from = start + at - position;
      page.cached.set(source.subarray(from, from + pieceBytes), inPage);
      at += pieceBytes;
    }
    if (at > this.sizeBytes) this.sizeBytes = at;
    this.modifiedMs = this.#account.wallMs();
    return at - position;
  }

  resize(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) this.#zeroFrom(sizeBytes);
    this.sizeBytes = sizeBytes;
    this.modifiedMs = this.#account.wallMs();
  }

  /** The operating system writes back when it likes: some dirty sectors, as they are now. */
  writeBack(random: SeededRandom): void {
    const page = this.#dirtyPages[random.below(this.#dirtyPages.length)];
    // While a sync has promised an earlier content of the page, it alone writes.
    if (page === undefined || page.pins.length > 0) return;
    const sectors = page.dirty & random.next();
    page.persist(page.cached, sectors, this.#account.arena);
    page.dirty &= ~sectors;
    if (page.dirty === 0) this.#dirtyPages = this.#dirtyPages.filter((other) => other !== page);
  }

  beginSync(): SyncUnderWay {
    const pins = this.#dirtyPages.map((page) => {
      const pin: Pin = { page, sectors: page.dirty, frozen: undefined, rewritten: 0 };
      page.pins.push(pin);
      return pin;
    });
    return { pins, sizeBytes: this.sizeBytes };
  }

  endSync(sync: SyncUnderWay): void {
    for (const pin of sync.pins) {
      const { page } = pin;
      page.persist(pin.frozen ?? page.cached, pin.sectors, this.#account.arena);
      page.dirty &= ~(pin.sectors & ~pin.rewritten);
      const at = page.pins.indexOf(pin);
      if (at >= 0) page.pins.splice(at, 1);
    }
    this.durableSizeBytes = sync.sizeBytes;
    this.#dirtyPages = this.#dirtyPages.filter((page) => page.dirty !== 0);
    this.#releaseBeyond(Math.max(this.sizeBytes, this.durableSizeBytes));
  }

  /**
   * What the disk could not take is gone from the cache as well, as on XFS: who reads the file anew finds out what
   * it holds. (ext4 goes on showing what is not durable; nobody could find that out by reading.)
   */
  failSync(sync: SyncUnderWay, random: SeededRandom): void {
    for (const { page, sectors, frozen } of sync.pins) {
      page.persist(frozen ?? page.cached, sectors & random.next(), this.#account.arena);
    }
    this.#forgetDirty();
  }

  /** The disk has lost its power: decides what of the un-synced is left. */
  losePower(random: SeededRandom, odds: SurvivalOdds): void {
    for (const page of this.#dirtyPages) {
      for (const { sectors, frozen } of page.pins) {
        if (frozen !== undefined) this.#persistSome(page, frozen, sectors, random, odds);
      }
      this.#persistSome(page, page.cached, page.dirty, random, odds);
    }
    this.sizeBytes = this.durableSizeBytes = this.#survivingSize(random, odds);
    this.#dirtyPages = [];
    for (const page of this.#pages.values()) {
      // Also pages that are not dirty: the disk alone says what is left.
      page.revert();
      const start = Math.max(0, this.sizeBytes - page.index * PAGE_BYTES);
      if (start >= PAGE_BYTES) continue;
      page.cached.fill(0, start);
      page.durable?.fill(0, start);
    }
    this.#releaseBeyond(this.sizeBytes);
    this.syncEndsUs = 0;
  }

  /** The process is gone and the operating system is not: what was written stays, syncs are not heard of any more. */
  loseProcess(): void {
    for (const page of this.#pages.values()) page.pins.length = 0;
    this.syncEndsUs = 0;
  }

  /** Pages that take space. */
  get pageCount(): number {
    return this.#pages.size;
  }

  #pageForWrite(index: number): Page | undefined {
    const known = this.#pages.get(index);
    if (known !== undefined) return known;
    if (!this.#account.takePage()) return undefined;
    const page = new Page(index, this.#account.arena.take());
    this.#pages.set(index, page);
    return page;
  }

  #willChange(page: Page, start: number, end: number): void {
    if (page.dirty === 0) this.#dirtyPages.push(page);
    page.beforeWrite(start, end);
  }

  #zeroFrom(position: number): void {
    for (const page of this.#pages.values()) {
      const start = Math.max(0, position - page.index * PAGE_BYTES);
      if (start >= PAGE_BYTES) continue;
      this.#willChange(page, start, PAGE_BYTES);
      page.cached.fill(0, start);
    }
  }

  #persistSome(
    page: Page,
    content: Uint8Array,
    sectors: number,
    random: SeededRandom,
    odds: SurvivalOdds,
  ): void {
    for (let sector = 0; sector < SECTORS_PER_PAGE; sector++) {
      if ((sectors & (1 << sector)) === 0 || !random.chance(odds.sectorChance)) continue;
      const isFlipped = random.chance(odds.bitFlipChance);
      const at = sector * SECTOR_BYTES + (isFlipped ? random.below(SECTOR_BYTES) : 0);
      // A disk that damages what it has long made durable is another story.
      const isUnsynced = (page.durable?.[at] ?? 0) !== content[at];
      page.persist(content, 1 << sector, this.#account.arena);
      if (isFlipped && isUnsynced) (page.durable as Uint8Array)[at] ^= 1 << random.below(8);
    }
  }

  #survivingSize(random: SeededRandom, odds: SurvivalOdds): number {
    if (random.chance(odds.sectorChance)) return this.sizeBytes;
    if (this.sizeBytes <= this.durableSizeBytes || !random.chance(odds.sectorChance)) {
      return this.durableSizeBytes;
    }
    const someBytes = random.below(this.sizeBytes - this.durableSizeBytes);
    const sizeBytes = this.durableSizeBytes + someBytes;
    return Math.max(this.durableSizeBytes, sizeBytes - (sizeBytes % SECTOR_BYTES));
  }

  #forgetDirty(): void {
    for (const page of this.#dirtyPages) page.revert();
    this.#dirtyPages = [];
  }

  #releaseBeyond(sizeBytes: number): void {
    for (const page of this.#pages.values()) {
      if (page.index * PAGE_BYTES < sizeBytes || page.dirty !== 0 || page.pins.length > 0) continue;
      this.#releasePage(page);
    }
  }

  #releasePage(page: Page): void {
    this.#pages.delete(page.index);
    this.#account.arena.give(page.cached);
    if (page.durable !== undefined) this.#account.arena.give(page.durable);
    this.#account.givePage();
  }
}
