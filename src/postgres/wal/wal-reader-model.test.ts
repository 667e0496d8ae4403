import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { RM_LOGICAL_MESSAGE, RM_XLOG } from '../rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../versions/version.ts';
import { encodeRecord } from './record-writer.ts';
import { WalReader } from './wal-reader.ts';
import { WalWriter } from './wal-writer.ts';
import { WalWorkspace } from './workspace.ts';

// WalReader against a reader that has all bytes before it, and is as plain as can be: objects, BigInt, one byte after
// another, by the rules of xlogreader.c. Both must show the same records and come to the same end.

const MIB = 1024 * 1024;
const PAGE = 8192n;
const SWITCH = 0x40;
const OVERWRITE_CONTRECORD = 0xd0;
const workspace = new WalWorkspace();

interface Seen {
  readonly start: bigint;
  readonly end: bigint;
  readonly bytes: string;
}

interface Outcome {
  readonly records: Seen[];
  /** `more`: all bytes have been read, and nothing is wrong with them. */
  readonly end: 'more' | 'zeros' | 'damage';
}

interface Source {
  readonly wal: Uint8Array;
  readonly base: bigint;
  readonly segmentBytes: bigint;
}

/** What ends the plain reader. */
class Stop extends Error {
  readonly end: Outcome['end'];

  constructor(end: Outcome['end'], reason: string) {
    super(reason);
    this.end = end;
  }
}

const require = (condition: boolean, reason: string): void => {
  if (!condition) throw new Stop('damage', reason);
};

class PlainReader {
  readonly #source: Source;
  readonly #startLsn: bigint;
  readonly #records: Seen[] = [];
  #position: bigint;
  #previous: bigint | undefined;
  #timeline = 0;
  #system: bigint | undefined;
  /** Of a record that was given up; undefined where none was, 0 where it began before what was read. */
  #givenUp: bigint | undefined;

  constructor(source: Source, startLsn: bigint) {
    this.#source = source;
    this.#startLsn = startLsn;
    this.#position = startLsn;
  }

  read(isSearch: boolean): Outcome {
    try {
      if (isSearch) this.#search();
      else if (this.#position % PAGE === 0n) this.#startPage(true);
      for (;;) this.#readRecord();
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      return { records: this.#records.filter(({ start }) => start >= this.#startLsn), end: error.end };
    }
  }

  #take(length: number): Uint8Array {
    const from = Number(this.#position - this.#source.base);
    if (from + length > this.#source.wal.length) throw new Stop('more', 'the bytes end');
    this.#position += BigInt(length);
    return this.#source.wal.subarray(from, from + length);
  }

  #header(): { readonly flags: number; readonly remaining: number } {
    const lsn = this.#position;
    const isLong = lsn % this.#source.segmentBytes === 0n;
    const bytes = this.#take(isLong ? 40 : 24);
    if (bytes.every((byte) => byte === 0)) throw new Stop('zeros', 'a page of zeros');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const flags = view.getUint16(2, true);
    require(view.getUint16(0, true) === POSTGRES_17.walPageMagic, 'magic');
    require(flags < 16, 'flags');
    require(view.getBigUint64(8, true) === lsn, 'address');
    require(view.getUint32(4, true) >= this.#timeline, 'timeline');
    this.#timeline = view.getUint32(4, true);
    require(((flags & 2) !== 0) === isLong, 'long header');
    if (isLong) {
      const system = view.getBigUint64(24, true);
      this.#system ??= system;
      require(system === this.#system && view.getUint32(36, true) === 8192, 'system');
      require(BigInt(view.getUint32(32, true)) === this.#source.segmentBytes, 'segment size');
    }
    return { flags, remaining: view.getUint32(16, true) };
  }

  /** A page on which no record goes on. */
  #startPage(isFirst: boolean): void {
    const { flags, remaining } = this.#header();
    require((flags & 1) === 0 && remaining === 0, 'a record goes on that was not cut off');
    if ((flags & 8) !== 0) {
      require(isFirst, 'a record is given up that was not cut off');
      this.#givenUp = 0n;
    }
  }

  /** Goes to the first place where a record begins on the page of the start, or after it. */
  #search(): void {
    this.#position -= this.#position % PAGE;
    const wasSwitched = this.#skipZeros();
    let missing: number | undefined;
    for (;;) {
      const { flags, remaining } = this.#header();
      require(!wasSwitched || (flags & 1) === 0, 'goes on behind zeros');
      if ((flags & 8) !== 0) {
        require((flags & 1) === 0 && remaining === 0, 'gives up and goes on');
        this.#givenUp = 0n;
        return;
      }
      if ((flags & 1) === 0) {
        require(remaining === 0 && missing === undefined, 'does not go on');
        return;
      }
      require(remaining > 0 && (missing === undefined || missing === remaining), 'goes on wrongly');
      const room = Number(PAGE - (this.#position % PAGE));
      this.#take(Math.min(room, remaining));
      if (remaining <= room) {
        this.#align();
        return;
      }
      missing = remaining - room;
    }
  }

  /** The rest of a segment after a switch: pages of zeros up to its end. Whether there were any. */
  #skipZeros(): boolean {
    let count = 0;
    for (; this.#position % this.#source.segmentBytes !== 0n; count++) {
      const isZero = this.#take(24).every((byte) => byte === 0);
      if (count === 0 && !isZero) {
        this.#position -= 24n;
        return false;
      }
      require(isZero, 'a page behind zeros');
      this.#take(8192 - 24);
    }
    return count > 0;
  }

  #align(): void {
    this.#take(Number((8n - (this.#position % 8n)) % 8n));
  }

  #readRecord(): void {
    if (this.#position % PAGE === 0n) this.#startPage(false);
    const start = this.#position;
    const length = this.#take(4);
    const total = new DataView(length.buffer, length.byteOffset).getUint32(0, true);
    if (total === 0) throw new Stop('zeros', 'no record');
    require(total >= 24 && total <= 1020 * MIB, 'length');
    const bytes = [...length];
    while (bytes.length < total) {
      if (this.#position % PAGE === 0n) {
        const { flags, remaining } = this.#header();
        if ((flags & 8) !== 0) {
          require((flags & 1) === 0 && remaining === 0, 'gives up and goes on');
          this.#givenUp = start;
          return;
        }
        require((flags & 1) !== 0 && remaining === total - bytes.length, 'goes on wrongly');
      }
      const room = Number(PAGE - (this.#position % PAGE));
      bytes.push(...this.#take(Math.min(room, total - bytes.length)));
    }
    this.#checkRecord(start, Uint8Array.from(bytes));
  }

  #checkRecord(start: bigint, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer);
    const previous = view.getBigUint64(8, true);
    require(this.#previous === undefined ? previous < start : previous === this.#previous, 'back link');
    const isXlog = view.getUint8(17) === 0;
    const kind = view.getUint8(16) & 0xf0;
    const crc = crc32c(bytes, 0, 20, crc32c(bytes, 24));
    require(view.getUint32(20, true) === crc, 'CRC');
    const isOverwrite = isXlog && kind === OVERWRITE_CONTRECORD;
    if (this.#givenUp !== undefined) {
      require(isOverwrite && bytes.length >= 34, 'nothing says which record was given up');
      require(this.#givenUp === 0n || view.getBigUint64(26, true) === this.#givenUp, 'another was given up');
    } else {
      require(!isOverwrite || this.#previous === undefined, 'no record was given up');
    }
    this.#givenUp = undefined;
    this.#previous = start;
    const { segmentBytes, base, wal } = this.#source;
    let end = this.#position + ((8n - (this.#position % 8n)) % 8n);
    if (isXlog && kind === SWITCH) {
      end += (segmentBytes - (end % segmentBytes)) % segmentBytes;
    }
    this.#records.push({ start, end, bytes: Buffer.from(bytes).toString('hex') });
    if (end > base + BigInt(wal.length)) throw new Stop('more', 'the bytes end');
    this.#position = end;
  }
}

/** `WalReader` on the same bytes, in chunks of these sizes, each in the same buffer as the one before. */
function readInChunks(
  { wal, base, segmentBytes }: Source,
  startLsn: bigint,
  isSearch: boolean,
  sizes: readonly number[],
): Outcome {
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes: Number(segmentBytes),
    startLsn: Number(startLsn),
    mode: isSearch ? 'search' : 'exact',
    workspace,
  });
  const chunk = new Uint8Array(Math.max(...sizes));
  const records: Seen[] = [];
  try {
    let at = Number(BigInt(reader.position) - base);
    for (let turn = 0; at < wal.length && reader.end === undefined; turn++) {
      const length = Math.min(sizes[turn % sizes.length] as number, wal.length - at);
      chunk.set(wal.subarray(at, at + length));
      reader.feed(chunk, 0, length);
      while (reader.next()) {
        const { recordOffset: offset, recordLength } = reader;
        const bytes = reader.workspace.bytes.subarray(offset, offset + recordLength);
        records.push({
          start: BigInt(reader.startLsn),
          end: BigInt(reader.endLsn),
          bytes: Buffer.from(bytes).toString('hex'),
        });
      }
      chunk.fill(0xaa);
      at += length;
      if (reader.end === undefined && BigInt(reader.position) !== base + BigInt(at))
        expect.fail('wrong position');
    }
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    expect(() => reader.next()).toThrow(error);
    return { records, end: 'damage' };
  }
  return { records, end: reader.end === undefined ? 'more' : 'zeros' };
}

type Step =
  | { readonly kind: 'record'; readonly length: number }
  /** A record that leaves just so many bytes of the page free. */
  | { readonly kind: 'fill'; readonly free: number }
  | { readonly kind: 'switch' }
  | { readonly kind: 'aborted'; readonly length: number; readonly written: number };

const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('record' as const), length: fc.nat(400) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('record' as const), length: fc.nat(40_000) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('fill' as const), free: fc.nat(8).map((n) => n * 8) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'switch' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('aborted' as const),
      length: fc.nat(40_000),
      written: fc.nat(40_000),
    }),
  },
);

const message = (length: number, fill: number) => ({
  resourceManager: RM_LOGICAL_MESSAGE,
  info: 0,
  xid: fill,
  mainData: new Uint8Array(length).fill(fill),
});

function write(writer: WalWriter, step: Step, number: number): void {
  switch (step.kind) {
    case 'record':
      writer.append(message(step.length, number));
      break;
    case 'fill': {
      // The header of a record is 24 bytes, that of its data 2 or 5.
      const room = 8192 - (writer.nextLsn % 8192) - step.free;
      const header = room - 26 > 255 ? 29 : 26;
      if (room >= 28) writer.append(message(room - header, number));
      break;
    }
    case 'switch':
      writer.append({ resourceManager: RM_XLOG, info: SWITCH });
      writer.fillSegment();
      break;
    case 'aborted':
      appendAborted(writer, step.length, step.written);
      break;
  }
}

/** The cut may stand at the very end of the page where the record starts; the record reaches a page beyond it. */
function appendAborted(writer: WalWriter, length: number, written: number): void {
  const room = 8192 - (writer.nextLsn % 8192);
  const bytes = encodeRecord(message(length + room, 7), writer.previousLsn);
  const cut = Math.max(room, Math.min(written, bytes.length - 8192));
  const lost = writer.appendAborted(bytes, cut);
  const body = new Uint8Array(16);
  new DataView(body.buffer).setBigUint64(0, BigInt(lost), true);
  writer.append({ resourceManager: RM_XLOG, info: OVERWRITE_CONTRECORD, mainData: body });
}

interface Damage {
  readonly kind: 'flip' | 'header' | 'zero-page' | 'zero-run' | 'cut';
  readonly at: number;
  readonly value: number;
}

const damages: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('flip', 'header', 'header', 'zero-page', 'zero-run', 'cut'),
  at: fc.nat(),
  value: fc.nat(),
});

function damaged(wal: Uint8Array, { kind, at, value }: Damage): Uint8Array {
  const offset = at % wal.length;
  const pageStart = offset - (offset % 8192);
  const inHeader = Math.min(pageStart + (value % 24), wal.length - 1);
  switch (kind) {
    case 'flip':
      wal[offset] = (wal[offset] as number) ^ (1 << (value % 8));
      return wal;
    case 'header':
      wal[inHeader] = (wal[inHeader] as number) ^ (1 << ((value >> 5) % 8));
      return wal;
    case 'zero-page':
      return wal.fill(0, pageStart, pageStart + 8192);
    case 'zero-run':
      return wal.fill(0, offset, offset + (value % 600));
    case 'cut':
      return wal.slice(0, offset);
  }
}

const bases = [
  0,
  3 * MIB,
  2 ** 32 - MIB,
  2 ** 32 + 5 * MIB,
  // The last that are exact: 2^53.
  2 ** 53 - 64 * MIB,
] as const;

const cases = fc.record({
  base: fc.constantFrom(...bases),
  /** Bytes before the end of the base's first segment, or after its beginning. */
  offset: fc.oneof(
    fc.nat(40).map((words) => 40 + words * 8),
    fc.nat(MIB / 8 - 6).map((words) => 40 + words * 8),
    fc.nat(3000).map((words) => MIB - 8 - words * 8),
  ),
  segmentBytes: fc.constantFrom(MIB, 2 * MIB),
  steps: fc.array(steps, { minLength: 1, maxLength: 30 }),
  damages: fc.oneof(fc.constant([]), fc.array(damages, { minLength: 1, maxLength: 3 })),
  sizes: fc.array(fc.oneof(fc.nat(3), fc.nat(40), fc.nat(9000), fc.constant(8192), fc.nat(300_000)), {
    minLength: 1,
    maxLength: 5,
  }),
  searchAt: fc.option(fc.nat()),
});

test('shows the same records as a plain reader, and ends where it does, on sound and on damaged WAL', () => {
  const reached = { more: 0, zeros: 0, damage: 0 };
  fc.assert(
    fc.property(cases, ({ base, offset, segmentBytes, sizes, searchAt, ...rest }) => {
      const writer = new WalWriter({
        version: POSTGRES_17,
        systemIdentifier: 42n,
        timelineId: 3,
        segmentBytes,
        startLsn: base + offset,
        previousLsn: base + offset - 40,
      });
      const startLsn = BigInt(writer.nextLsn);
      for (const [index, step] of rest.steps.entries()) write(writer, step, index + 3);
      let wal = writer.take();
      for (const damage of rest.damages) if (wal.length > 0) wal = damaged(wal, damage);
      const source = { wal, base: BigInt(writer.baseLsn), segmentBytes: BigInt(segmentBytes) };
      const isSearch = searchAt !== null;
      // What the writer leaves before the start is no WAL that one could search in.
      const first = startLsn - (startLsn % PAGE) === source.base ? source.base + PAGE : source.base;
      const from = isSearch ? first + BigInt(searchAt % Math.max(1, wal.length - 8192)) : startLsn;
      const somewhere = sizes.some((size) => size > 0) ? sizes : [...sizes, 1000];
      const outcome = readInChunks(source, from, isSearch, somewhere);
      const expected = new PlainReader(source, from).read(isSearch);
      expect(outcome).toEqual(expected);
      if (rest.damages.length === 0 && !isSearch) expect(outcome.end).toBe('more');
      reached[outcome.end]++;
    }),
    { numRuns: 1000 },
  );
  for (const [end, count] of Object.entries(reached)) expect(count, end).toBeGreaterThan(10);
}, 60_000);
