import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { crc32c } from '../base/crc32c.ts';
import { CorruptionError } from '../base/errors.ts';
import { toLsn } from '../base/lsn.ts';
import { FRAME_CRC_BYTES, FRAME_HEADER_BYTES, type StartSetHeader, type StartSetItem } from './start-set.ts';
import { StartSetDecoder } from './start-set-decoder.ts';
import { StartSetEncoder } from './start-set-encoder.ts';

const GOLDEN = new URL('../../test/golden/start-set-1.txt', import.meta.url);
const HEADER: StartSetHeader = {
  form: 'standby',
  postgresMajor: 17,
  catalogVersion: 202406281,
  systemIdentifier: 0x6712_3456_789a_bcden,
  walSegmentBytes: 1024 * 1024,
  hasDataChecksums: true,
  recordEndLsn: toLsn(0x1_0000_2000),
  previousRecordLsn: toLsn(0x1_0000_1f80),
  nextRecordLsn: toLsn(0x1_0000_2018),
  walNeededFrom: toLsn(0x1_0000_0100),
};
const fork = (tablespace: number, relation: number, number: number, contentFork: number, blocks: number) => ({
  relation: { tablespace, database: tablespace === 1664 ? 0 : 5, relation },
  fork: number,
  contentFork,
  blocks,
});
const FORKS = [
  fork(1663, 16384, 0, 0, 3),
  fork(1663, 16384, 2, 2, 1),
  fork(1663, 16390, 0, 3, 0),
  fork(1664, 1260, 0, 0, 1),
];
const PATHS = ['base', 'base/5', 'pg_tblspc/16500/PG_17_202406281'];

function encodeSample(): Uint8Array {
  const encoder = new StartSetEncoder();
  encoder.header(HEADER);
  encoder.directories(PATHS);
  encoder.slruSegment({ path: 'pg_xact/0000', sizeBytes: 16_384, slru: 'clog', segment: 0 });
  expect([...encoder.piece(8192, Uint8Array.of(1, 2, 3))]).toEqual([]);
  encoder.file({ path: 'standby.signal', sizeBytes: 0 });
  encoder.file({ path: 'global/pg_control', sizeBytes: 100 });
  expect([...encoder.piece(0, Uint8Array.of(4)), ...encoder.piece(99, Uint8Array.of(5))]).toEqual([]);
  encoder.ready();
  expect([...encoder.forks(FORKS)]).toEqual([]);
  encoder.end();
  return encoder.take();
}

const EXPECTED: readonly StartSetItem[] = [
  { kind: 'header', header: HEADER },
  { kind: 'directories', paths: PATHS },
  { kind: 'slru-segment', file: { path: 'pg_xact/0000', sizeBytes: 16_384, slru: 'clog', segment: 0 } },
  { kind: 'piece', offset: 8192, bytes: Uint8Array.of(1, 2, 3) },
  { kind: 'file', file: { path: 'standby.signal', sizeBytes: 0 } },
  { kind: 'file', file: { path: 'global/pg_control', sizeBytes: 100 } },
  { kind: 'piece', offset: 0, bytes: Uint8Array.of(4) },
  { kind: 'piece', offset: 99, bytes: Uint8Array.of(5) },
  { kind: 'ready' },
  { kind: 'forks', forks: FORKS.slice(0, 3) },
  { kind: 'forks', forks: FORKS.slice(3) },
  { kind: 'end' },
];

/** In chunks of a size; bytes are copied, since they are valid only until the next. */
function decode(bytes: Uint8Array, chunkBytes: number = bytes.length): StartSetItem[] {
  const decoder = new StartSetDecoder();
  const items: StartSetItem[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    for (const item of decoder.push(bytes.subarray(at, at + chunkBytes))) {
      items.push(item.kind === 'piece' ? { ...item, bytes: item.bytes.slice() } : item);
    }
  }
  decoder.finish();
  return items;
}

function framesOf(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    const end = at + FRAME_HEADER_BYTES + view.getUint32(at + 1) + FRAME_CRC_BYTES;
    frames.push(bytes.slice(at, end));
    at = end;
  }
  return frames;
}

/** Makes the CRCs of all frames right again, and that of the end. */
function seal(frames: readonly Uint8Array[]): Uint8Array {
  let crc = 0;
  for (const frame of frames) {
    const view = new DataView(frame.buffer);
    const end = frame.length - FRAME_CRC_BYTES;
    if (frame[0] === 0x45 && end >= 17) view.setUint32(end - 4, crc);
    view.setUint32(end, crc32c(frame, 0, end));
    crc = crc32c(frame, end, frame.length, crc);
  }
  return new Uint8Array(Buffer.concat(frames));
}

describe('a start set', () => {
  test('is written as version 1 of the format says, and read back in chunks of any size', () => {
    const bytes = encodeSample();
    const lines = framesOf(bytes).map((frame) => `${Buffer.from(frame).toString('hex')}\n`);
    expect(lines.join('')).toBe(readFileSync(GOLDEN, 'utf8'));
    for (const chunkBytes of [1, 2, 7, 100, bytes.length])
      expect(decode(bytes, chunkBytes)).toEqual(EXPECTED);
  });

  test('long content and long lists are cut into frames that fit', () => {
    const encoder = new StartSetEncoder();
    const chunks: Uint8Array[] = [];
    const content = new Uint8Array(300_000).map((_, index) => index % 251);
    const forks = Array.from({ length: 20_000 }, (_, index) => fork(1663, 20_000 + index, 0, 0, index));
    encoder.header({ ...HEADER, walNeededFrom: undefined });
    encoder.file({ path: 'global/pg_control', sizeBytes: content.length });
    chunks.push(...encoder.piece(0, content));
    encoder.ready();
    chunks.push(...encoder.forks(forks));
    encoder.end();
    chunks.push(encoder.take());
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThan(200_000);
    const items = decode(new Uint8Array(Buffer.concat(chunks)), 1000);
    const found = new Uint8Array(content.length);
    for (const item of items) if (item.kind === 'piece') found.set(item.bytes, item.offset);
    expect(Buffer.compare(found, content)).toBe(0);
    expect(items.flatMap((item) => (item.kind === 'forks' ? item.forks : []))).toEqual(forks);
  });

  test('is refused where it is cut off, goes on behind its end, or has one wrong bit', () => {
    const bytes = encodeSample();
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decode(bytes.subarray(0, length), 64)).toThrow(CorruptionError);
    }
    expect(() => decode(new Uint8Array([...bytes, 0x45, 0, 0, 0, 0, 0, 0, 0, 0]))).toThrow(CorruptionError);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
      expect(() => decode(damaged, 1000)).toThrow(CorruptionError);
    }
  });

  test('is refused where a frame is missing, comes twice, or in another place', () => {
    const frames = framesOf(encodeSample());
    for (let at = 0; at < frames.length; at++) {
      const without = frames.toSpliced(at, 1);
      expect(() => decode(new Uint8Array(Buffer.concat(without)))).toThrow(CorruptionError);
      const twice = frames.toSpliced(at, 0, frames[at] as Uint8Array);
      expect(() => decode(new Uint8Array(Buffer.concat(twice)))).toThrow(CorruptionError);
      if (at === 0) continue;
      const swapped = frames.with(at, frames[at - 1] as Uint8Array).with(at - 1, frames[at] as Uint8Array);
      expect(() => decode(new Uint8Array(Buffer.concat(swapped)))).toThrow(CorruptionError);
    }
  });

  test.each([
    ['another version', 0, 10, 2],
    ['an unknown form', 0, 11, 3],
    ['an unknown flag', 0, 12, 2],
    ['an unknown kind of frame', 4, 0, 0x58],
    ['a path that leads out', 4, 13, 0x2e],
    ['a piece behind the end', 6, 12, 100],
    ['forks in another order', 9, 35, 0x3f],
  ])('is refused with %s, though the CRCs are right', (_what, frame, offset, value) => {
    const frames = framesOf(encodeSample());
    const damaged = frames[frame] as Uint8Array;
    damaged[offset] = value;
    expect(() => decode(seal(frames))).toThrow(CorruptionError);
  });

  test('whatever comes with right CRCs is either read or refused by name', () => {
    const random = new SeededRandom(11);
    let refused = 0;
    for (let round = 0; round < 5000; round++) {
      const frames = framesOf(encodeSample());
      for (let change = random.below(3); change >= 0; change--) {
        const frame = random.pick(frames);
        const offset = random.below(frame.length - FRAME_CRC_BYTES);
        if (offset === 0 || offset >= FRAME_HEADER_BYTES) frame[offset] = random.below(256);
      }
      try {
        for (const item of decode(seal(frames), 1 + random.below(300)))
          expect(item.kind).toBeTypeOf('string');
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
    expect(refused).toBeLessThan(5000);
  });

  test('a decoder that has refused once refuses all that comes', () => {
    const decoder = new StartSetDecoder();
    expect(() => [...decoder.push(Uint8Array.of(1, 0xff, 0, 0, 0))]).toThrow(/a frame of/);
    expect(() => [...decoder.push(encodeSample())]).toThrow(/damaged before/);
    expect(() => decoder.finish()).toThrow(CorruptionError);
  });
});
