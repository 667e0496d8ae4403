import { joinBytes } from '../test/support/record-builder.ts';
import type { SeededRandom } from '../test/support/seeded-random.ts';

const INTERESTING_BYTES = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] as const;
/** What is next to a valid number is what a check with a wrong limit lets through. */
const NUDGES = [1, -1, 8, -8] as const;
const INTERESTING_WORDS = [0, 1, 8, 0x7fff, 0x8000, 0xffff, 0x2000, 0x1fff] as const;

function flipBits(bytes: Uint8Array, random: SeededRandom): void {
  for (let times = 1 + random.below(4); times > 0; times--) {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
  }
}

function setByte(bytes: Uint8Array, random: SeededRandom): void {
  bytes[random.below(bytes.length)] = random.chance(0.5) ? random.pick(INTERESTING_BYTES) : random.below(256);
}

function setWord(bytes: Uint8Array, random: SeededRandom): void {
  if (bytes.length < 4) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const at = random.below(bytes.length - 3);
  if (random.chance(0.5)) view.setUint16(at, random.pick(INTERESTING_WORDS), true);
  else view.setUint32(at, random.chance(0.5) ? random.next() : random.pick(INTERESTING_WORDS), true);
}

/** A length, count or offset that is a little too small or too large. */
function nudge(bytes: Uint8Array, random: SeededRandom): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const delta = random.pick(NUDGES);
  if (bytes.length >= 2 && random.chance(0.6)) {
    const at = random.below(bytes.length - 1);
    view.setUint16(at, view.getUint16(at, true) + delta, true);
  } else {
    const at = random.below(bytes.length);
    view.setUint8(at, view.getUint8(at) + delta);
  }
}

/** Two fields change places. */
function swapFields(bytes: Uint8Array, random: SeededRandom): void {
  if (bytes.length < 2) return;
  const [left, right] = [random.below(bytes.length - 1), random.below(bytes.length - 1)];
  const taken = bytes.slice(left, left + 2);
  bytes.copyWithin(left, right, right + 2);
  bytes.set(taken, right);
}

function fillRun(bytes: Uint8Array, random: SeededRandom): void {
  const start = random.below(bytes.length);
  bytes.fill(random.pick(INTERESTING_BYTES), start, start + 1 + random.below(64));
}

function copyRun(bytes: Uint8Array, random: SeededRandom): void {
  const start = random.below(bytes.length);
  bytes.copyWithin(random.below(bytes.length), start, start + 1 + random.below(200));
}

/** Takes a run of bytes out. */
function cut(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const start = random.below(bytes.length);
  const end = Math.min(bytes.length, start + 1 + random.below(random.chance(0.5) ? 16 : bytes.length));
  return joinBytes(bytes.subarray(0, start), bytes.subarray(end));
}

/** Puts a run of bytes in once more. */
function duplicate(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const start = random.below(bytes.length);
  const end = Math.min(bytes.length, start + 1 + random.below(64));
  const at = random.below(bytes.length + 1);
  return joinBytes(bytes.subarray(0, at), bytes.subarray(start, end), bytes.subarray(at));
}

/** Begins as one and goes on as the other. */
function splice(bytes: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  return joinBytes(
    bytes.subarray(0, random.below(bytes.length + 1)),
    other.subarray(random.below(other.length + 1)),
  );
}

/** A damaged copy: bits flipped, fields set to extremes, nudged or swapped, runs filled, copied, cut out, put in twice, or spliced. */
export function mutate(original: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let times = 1 + random.below(3); times > 0 && bytes.length > 0; times--) {
    switch (random.below(10)) {
      case 0:
        flipBits(bytes, random);
        break;
      case 1:
      case 2:
        setByte(bytes, random);
        break;
      case 3:
        setWord(bytes, random);
        break;
      case 4:
        fillRun(bytes, random);
        break;
      case 5:
        copyRun(bytes, random);
        break;
      case 6:
        bytes = random.chance(0.5) ? cut(bytes, random) : duplicate(bytes, random);
        break;
      case 7:
        nudge(bytes, random);
        break;
      case 8:
        swapFields(bytes, random);
        break;
      default:
        bytes = splice(bytes, other, random);
        break;
    }
  }
  return bytes;
}

/**
 * Damages a buffer without changing its length. `numbers` are such as mean something here (a count of lines, the
 * bounds of a page): a field is set to one of them or to what is next to it.
 */
export function mutateInPlace(
  bytes: Uint8Array,
  random: SeededRandom,
  numbers: readonly number[] = [],
): void {
  const ways = [flipBits, setByte, setWord, nudge, nudge, swapFields, fillRun, copyRun];
  for (let times = 1 + random.below(3); times > 0 && bytes.length > 0; times--) {
    if (numbers.length > 0 && bytes.length >= 2 && random.chance(0.3)) {
      const value = random.pick(numbers) + random.below(3) - 1;
      new DataView(bytes.buffer, bytes.byteOffset).setUint16(random.below(bytes.length - 1), value, true);
    } else random.pick(ways)(bytes, random);
  }
}
