import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { crc32c } from '../base/crc32c.ts';
import { CorruptionError } from '../base/errors.ts';
import {
  AUXILIARY_CONTENT_BYTES_MAX,
  AUXILIARY_OBJECTS_MAX,
  AUXILIARY_STREAM_BYTES_MAX,
  type AuxiliaryObject,
  AuxiliaryStreamDecoder,
  AuxiliaryStreamEncoder,
} from './auxiliary-stream.ts';

const GOLDEN = new URL('../../test/golden/auxiliary-stream-1.txt', import.meta.url);
const OBJECTS: readonly AuxiliaryObject[] = [
  { path: 'pg_stat/pgstat.stat', content: Uint8Array.of(1, 2, 3) },
  { path: 'base/5/16384_fsm/0', content: new Uint8Array(0) },
  { path: 'base/5/16390_fsm/1', content: undefined },
];
const HEADER_BYTES = 5;
const CRC_BYTES = 4;

function framesOf(objects: readonly AuxiliaryObject[]): Uint8Array[] {
  const encoder = new AuxiliaryStreamEncoder();
  const header = encoder.header();
  return [header, ...objects.map((object) => encoder.object(object) as Uint8Array), encoder.end()];
}

function decode(bytes: Uint8Array, chunkBytes: number = bytes.length): AuxiliaryObject[] {
  const decoder = new AuxiliaryStreamDecoder();
  const objects: AuxiliaryObject[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    for (const { path, content } of decoder.push(bytes.subarray(at, at + chunkBytes)))
      objects.push({ path, content: content?.slice() });
  }
  decoder.finish();
  return objects;
}

const joined = (frames: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(frames));

/** With a byte of a frame's payload changed, and a right CRC. */
function changed(frames: readonly Uint8Array[], index: number, offset: number, value: number): Uint8Array {
  const frame = (frames[index] as Uint8Array).slice();
  frame[offset] = value;
  const end = frame.length - CRC_BYTES;
  new DataView(frame.buffer).setUint32(end, crc32c(frame, 0, end));
  return joined(frames.with(index, frame));
}

test('a stream is written as version 1 of the format says, and read back in chunks of any size', () => {
  const frames = framesOf(OBJECTS);
  const lines = frames.map((frame) => `${Buffer.from(frame).toString('hex')}\n`);
  expect(lines.join('')).toBe(readFileSync(GOLDEN, 'utf8'));
  const bytes = joined(frames);
  for (const chunkBytes of [1, 2, 7, 100]) expect(decode(bytes, chunkBytes)).toEqual(OBJECTS);
});

test('it is refused where it is cut off, goes on behind its end, or has one wrong bit', () => {
  const bytes = joined(framesOf(OBJECTS));
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decode(bytes.subarray(0, length), 64)).toThrow(CorruptionError);
  }
  expect(() => decode(Uint8Array.of(...bytes, 0))).toThrow(CorruptionError);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
    expect(() => decode(damaged, 1000)).toThrow(CorruptionError);
  }
});

test('it is refused where a frame is missing or comes before the header', () => {
  const frames = framesOf(OBJECTS);
  for (let at = 0; at < frames.length; at++) {
    expect(() => decode(joined(frames.toSpliced(at, 1)))).toThrow(CorruptionError);
  }
  const [header, first, ...rest] = frames as [Uint8Array, Uint8Array, ...Uint8Array[]];
  expect(() => decode(joined([first, header, ...rest]))).toThrow(CorruptionError);
  expect(() => decode(joined([header, ...frames]))).toThrow(CorruptionError);
});

test.each([
  ['another magic', 0, HEADER_BYTES, 0],
  ['another version', 0, HEADER_BYTES + 5, 2],
  ['an unknown kind of frame', 1, 0, 0x58],
  ['a path that is no UTF-8', 1, HEADER_BYTES, 0xff],
  ['a path without an end', 3, HEADER_BYTES + 18, 0x30],
  ['content of what is removed', 1, 0, 0x52],
])('it is refused with %s, though the CRCs are right', (_what, frame, offset, value) => {
  expect(() => decode(changed(framesOf(OBJECTS), frame, offset, value))).toThrow(CorruptionError);
});

test('what one stream may have is bounded, for who writes it and who reads it', () => {
  const encoder = new AuxiliaryStreamEncoder();
  const large = new Uint8Array(AUXILIARY_CONTENT_BYTES_MAX + 1);
  expect(encoder.object({ path: 'a', content: large })).toBeUndefined();
  const decoder = new AuxiliaryStreamDecoder();
  const push = (frame: Uint8Array): number => [...decoder.push(frame)].length;
  push(encoder.header());
  const small = encoder.object({ path: 'a', content: undefined }) as Uint8Array;
  for (let count = 1; count < AUXILIARY_OBJECTS_MAX; count++) {
    encoder.object({ path: 'a', content: undefined });
    push(small);
  }
  expect(push(small)).toBe(1);
  expect(encoder.object({ path: 'a', content: undefined })).toBeUndefined();
  expect(() => push(small)).toThrow(/more than 200000 objects/);
  expect(() => push(small)).toThrow(/damaged before/);
});

test('so are the bytes of all objects together', () => {
  const encoder = new AuxiliaryStreamEncoder();
  const decoder = new AuxiliaryStreamDecoder();
  const push = (frame: Uint8Array): number => [...decoder.push(frame)].length;
  push(encoder.header());
  const content = new Uint8Array(AUXILIARY_CONTENT_BYTES_MAX);
  const largest = encoder.object({ path: 'a', content }) as Uint8Array;
  for (let rest = AUXILIARY_STREAM_BYTES_MAX; rest > 0; rest -= content.length) expect(push(largest)).toBe(1);
  expect(() => push(largest)).toThrow(/more than 268435456 bytes/);
});

test('a length that no frame has is refused before anything of it has come', () => {
  const decoder = new AuxiliaryStreamDecoder();
  expect(() => [...decoder.push(Uint8Array.of(0x43, 0xff, 0, 0, 0))]).toThrow(/a frame of 4278190080 bytes/);
});
