import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AssertionError, BadRequestError } from '../../base/errors.ts';
import { DIRECT_TLS_TAG, FrameCutter, makeBodyLimits, STARTUP_TAG } from './framing.ts';
import { ProtocolError } from './wire-error.ts';

const limits = makeBodyLimits('Sc', 'Qd', 300_000);
const bytesOf = (...values: (number | string)[]): Uint8Array =>
  Uint8Array.from(values.flatMap((value) => (typeof value === 'number' ? [value] : [...Buffer.from(value)])));

interface Message {
  readonly tag: number;
  readonly body: readonly number[];
}

function encode(messages: readonly Message[]): Uint8Array {
  return Buffer.concat(
    messages.map(({ tag, body }) => {
      const header = Buffer.alloc(5);
      header.writeUInt8(tag);
      header.writeInt32BE(body.length + 4, 1);
      return Buffer.concat([header, Uint8Array.from(body)]);
    }),
  );
}

/** Feeds through one fixed buffer, as a socket does, and spoils it after each chunk. */
function cutAll(cutter: FrameCutter, stream: Uint8Array, sizes: readonly number[]): Message[] {
  const receiveBuffer = Buffer.alloc(Math.max(...sizes) + 3);
  const messages: Message[] = [];
  for (let position = 0, turn = 0; position < stream.length; turn++) {
    const length = Math.min(sizes[turn % sizes.length] as number, stream.length - position);
    receiveBuffer.fill(0xee);
    receiveBuffer.set(stream.subarray(position, position + length), 3);
    cutter.feed(receiveBuffer, 3, 3 + length);
    while (cutter.next()) {
      const { tag, bytes, bodyOffset, bodyLength } = cutter;
      expect(cutter.view.byteLength).toBe(bytes.length);
      messages.push({ tag, body: [...bytes.subarray(bodyOffset, bodyOffset + bodyLength)] });
    }
    position += length;
  }
  return messages;
}

const message = fc.record({
  tag: fc.constantFrom(...Buffer.from('QdS')),
  body: fc.array(fc.nat(255), { maxLength: 40 }),
});

describe('regular messages', () => {
  test('as the documentation writes them: Query and Sync', () => {
    const cutter = new FrameCutter({ limits, form: 'regular' });
    cutter.feed(bytesOf('Q', 0, 0, 0, 13, 'SELECT 1', 0, 'S', 0, 0, 0, 4));
    expect(cutter.next()).toBe(true);
    expect([cutter.tag, cutter.bodyOffset, cutter.bodyLength]).toEqual([0x51, 5, 9]);
    expect(cutter.next()).toBe(true);
    expect([cutter.tag, cutter.bodyOffset, cutter.bodyLength]).toEqual([0x53, 19, 0]);
    expect(cutter.next()).toBe(false);
    expect(cutter.restLength).toBe(0);
  });

  test('how the stream is cut into chunks makes no difference', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 }),
        (messages, sizes) => {
          const cutter = new FrameCutter({ limits, form: 'regular' });
          expect(cutAll(cutter, encode(messages), sizes)).toEqual(messages);
          expect(cutter.restLength).toBe(0);
        },
      ),
    );
  });

  test('a message is cut at every byte', () => {
    const messages = [
      { tag: 0x51, body: [1, 2, 3] },
      { tag: 0x64, body: [4, 5, 6, 7] },
    ];
    const stream = encode(messages);
    for (let cut = 1; cut < stream.length; cut++) {
      const cutter = new FrameCutter({ limits, form: 'regular' });
      expect(cutAll(cutter, stream, [cut, stream.length])).toEqual(messages);
    }
  });

  test('long messages come whole out of short chunks, and another one after them', () => {
    const messages = [300_000, 5, 299_999].map((length, index) => ({
      tag: 0x64,
      body: Array.from({ length }, (_, at) => (at * 7 + index) & 0xff),
    }));
    const cutter = new FrameCutter({ limits, form: 'regular' });
    const seen = cutAll(cutter, encode(messages), [65_536]);
    expect(seen.map(({ body }) => body.length)).toEqual([300_000, 5, 299_999]);
    expect(Buffer.from(seen[2]?.body ?? []).equals(Buffer.from(messages[2]?.body ?? []))).toBe(true);
  });

  test('a whole message is shown where it lies', () => {
    const chunk = encode([{ tag: 0x64, body: [9] }]);
    const cutter = new FrameCutter({ limits, form: 'regular' });
    cutter.feed(chunk);
    cutter.next();
    expect(cutter.bytes).toBe(chunk);
  });

  test("a body that was taken is nobody else's from then on, wherever it lay", () => {
    const lengths = [300_000, 5, 0, 131_072, 131_072, 40];
    const messages = lengths.map((length, index) => ({
      tag: 0x64,
      body: Array.from({ length }, (_, at) => (at * 7 + index) & 0xff),
    }));
    const stream = encode(messages);
    for (const size of [1000, 65_536, stream.length]) {
      const cutter = new FrameCutter({ limits, form: 'regular' });
      const taken: Uint8Array[] = [];
      for (let position = 0; position < stream.length; position += size) {
        // As with a socket: each chunk is memory of its own.
        const chunk = Uint8Array.from(stream.subarray(position, position + size));
        cutter.feed(chunk);
        while (cutter.next()) {
          const body = cutter.takeBody();
          taken.push(body);
          // Short ones are copied, so that they keep no chunk.
          const isView = body.buffer === cutter.bytes.buffer;
          expect(isView).toBe(body.length > 40);
          if (isView) expect(body.byteOffset).toBe(cutter.bytes.byteOffset + cutter.bodyOffset);
          if (isView && cutter.bytes === chunk) expect(cutter.isChunkTaken).toBe(true);
        }
      }
      expect(cutter.restLength).toBe(0);
      expect(
        taken.map((body) => Buffer.from(body).equals(Buffer.from(messages[taken.indexOf(body)]!.body))),
      ).toEqual(lengths.map(() => true));
    }
  });

  test('a WAL message over two chunks is copied once: its buffer never grows', () => {
    const stream = encode([{ tag: 0x64, body: Array.from({ length: 131_072 }, () => 1) }]);
    const cutter = new FrameCutter({ limits, form: 'regular' });
    cutter.feed(stream, 0, 65_536);
    expect(cutter.next()).toBe(false);
    cutter.feed(stream, 65_536);
    expect(cutter.next()).toBe(true);
    const { buffer } = cutter.bytes;
    expect(buffer.byteLength).toBeLessThan(stream.length + 16_384);
    expect(Buffer.from(cutter.takeBody()).equals(stream.subarray(5))).toBe(true);
  });

  test('the memory of a long body that was given back serves for the next one, and only then', () => {
    const stream = encode([0, 1, 2].map((byte) => ({ tag: 0x64, body: new Array(131_072).fill(byte) })));
    const cutter = new FrameCutter({ limits, form: 'regular' });
    const bodies: Uint8Array[] = [];
    for (let position = 0; position < stream.length; position += 65_536) {
      cutter.feed(stream, position, Math.min(position + 65_536, stream.length));
      while (cutter.next()) {
        const body = cutter.takeBody();
        bodies.push(body);
        if (bodies.length !== 2) continue;
        cutter.giveBackBody(body.subarray(100, 200));
        // Once is enough, and memory of somebody else is not taken.
        cutter.giveBackBody(body);
        cutter.giveBackBody(stream);
      }
    }
    const buffers = bodies.map(({ buffer }) => buffer);
    expect(buffers[2]).toBe(buffers[1]);
    expect(buffers[1]).not.toBe(buffers[0]);
    expect(bodies[0]?.every((byte) => byte === 0)).toBe(true);
    expect(bodies[2]?.every((byte) => byte === 2)).toBe(true);
  });

  test('what is missing at the end can be told', () => {
    const cutter = new FrameCutter({ limits, form: 'regular' });
    cutter.feed(bytesOf('d', 0, 0, 0, 9, 1));
    expect(cutter.next()).toBe(false);
    expect(cutter.restLength).toBe(6);
  });

  test.each([
    ['UNKNOWN_MESSAGE', 'no message has the tag "x"', bytesOf('x', 0, 0, 0, 4)],
    ['UNKNOWN_MESSAGE', 'no message has the tag 0x00', bytesOf(0, 0, 0, 0, 4)],
    ['BAD_MESSAGE_LENGTH', /"Q" of length 3: 4 to 300004 are allowed/, bytesOf('Q', 0, 0, 0, 3)],
    ['BAD_MESSAGE_LENGTH', /of length -1:/, bytesOf('Q', 0xff, 0xff, 0xff, 0xff)],
    ['BAD_MESSAGE_LENGTH', /of length 2147483647:/, bytesOf('d', 0x7f, 0xff, 0xff, 0xff)],
    ['BAD_MESSAGE_LENGTH', /of length 300005:/, bytesOf('d', 0, 4, 0x93, 0xe5)],
    ['BAD_MESSAGE_LENGTH', /"S" of length 10005: 4 to 10004 are/, bytesOf('S', 0, 0, 0x27, 0x15)],
  ])('%s: %s', (code, reason, hostile) => {
    for (const size of [1, 100]) {
      const cutter = new FrameCutter({ limits, form: 'regular' });
      const good = encode([{ tag: 0x51, body: [1] }]);
      expect(() => cutAll(cutter, Buffer.concat([good, hostile]), [good.length, size])).toThrow(reason);
      expect(() => cutter.next()).toThrow(expect.objectContaining({ code, sqlState: '08P01' }));
    }
  });

  test('an announced length alone costs no memory', () => {
    const huge = makeBodyLimits('', 'd', 0x3fff_ffff);
    const before = process.memoryUsage().arrayBuffers;
    const cutters = Array.from({ length: 100 }, () => {
      const cutter = new FrameCutter({ limits: huge, form: 'regular' });
      cutter.feed(bytesOf('d', 0x3f, 0xff, 0xff, 0xff, 1, 2, 3));
      expect(cutter.next()).toBe(false);
      return cutter;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
    expect(cutters.every(({ restLength }) => restLength === 8)).toBe(true);
  });

  test('feeding too early is a bug', () => {
    const cutter = new FrameCutter({ limits, form: 'regular' });
    cutter.feed(bytesOf('S', 0, 0, 0, 4));
    expect(() => cutter.feed(bytesOf(1))).toThrow(AssertionError);
  });

  test('limits past those of PostgreSQL are refused', () => {
    expect(() => makeBodyLimits('', 'd', 0x4000_0000)).toThrow(BadRequestError);
  });
});

describe('startup packets', () => {
  const sslRequest = bytesOf(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f);
  const startup = bytesOf(0, 0, 0, 9, 0, 3, 0, 0, 0);

  test('come without a tag, and messages after them', () => {
    const stream = Buffer.concat([sslRequest, startup, bytesOf('Q', 0, 0, 0, 5, 0)]);
    for (let size = 1; size <= stream.length; size++) {
      const cutter = new FrameCutter({ limits, form: 'startup' });
      const seen: number[][] = [];
      for (let position = 0; position < stream.length; position += size) {
        cutter.feed(Uint8Array.from(stream.subarray(position, position + size)));
        while (cutter.next()) {
          seen.push([cutter.tag, cutter.view.getUint8(cutter.bodyOffset), cutter.bodyLength]);
          if (cutter.tag === STARTUP_TAG && cutter.bodyLength === 5) cutter.endStartup();
        }
      }
      expect(seen).toEqual([
        [STARTUP_TAG, 4, 4],
        [STARTUP_TAG, 0, 5],
        [0x51, 0, 1],
      ]);
      expect(() => cutter.endStartup()).toThrow(AssertionError);
    }
  });

  test.each([0, 4, 7, 10_001, -1, 0x7fff_ffff, 0x4745_5420])('a length of %i is refused', (length) => {
    const packet = Buffer.alloc(4);
    packet.writeInt32BE(length);
    for (const size of [1, 4]) {
      const cutter = new FrameCutter({ limits, form: 'startup' });
      expect(() => cutAll(cutter, packet, [size])).toThrow(
        expect.objectContaining({ code: 'BAD_STARTUP_LENGTH' }),
      );
    }
  });

  test('the longest one', () => {
    const packet = Buffer.alloc(10_000);
    packet.writeInt32BE(10_000);
    const cutter = new FrameCutter({ limits, form: 'startup' });
    expect(cutAll(cutter, packet, [777])).toEqual([{ tag: STARTUP_TAG, body: [...packet.subarray(4)] }]);
  });

  test('bytes that come along with a request for encryption are refused', () => {
    const cutter = new FrameCutter({ limits, form: 'startup' });
    cutter.feed(Buffer.concat([sslRequest, bytesOf(0)]));
    expect(cutter.next()).toBe(true);
    expect(() => cutter.refuseRest()).toThrow(ProtocolError);

    const alone = new FrameCutter({ limits, form: 'startup' });
    alone.feed(sslRequest.subarray(0, 5));
    expect(alone.next()).toBe(false);
    alone.feed(sslRequest.subarray(5));
    expect(alone.next()).toBe(true);
    expect(() => alone.refuseRest()).not.toThrow();
  });

  test('a TLS handshake is handed over untouched', () => {
    const cutter = new FrameCutter({ limits, form: 'startup' });
    cutter.feed(bytesOf(9, 9, 0x16, 3, 1, 0, 5), 2);
    expect(cutter.next()).toBe(true);
    expect([cutter.tag, cutter.bodyLength]).toEqual([DIRECT_TLS_TAG, 0]);
    expect([cutter.restOffset, cutter.restLength]).toEqual([2, 5]);
    expect(() => cutter.next()).toThrow(AssertionError);
  });
});

test('any bytes give messages or a ProtocolError', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom('startup' as const, 'regular' as const),
      fc.integer({ min: 1, max: 50 }),
      (stream, form, size) => {
        const cutter = new FrameCutter({ limits, form });
        try {
          for (let position = 0; position < stream.length; position += size) {
            cutter.feed(stream, position, Math.min(position + size, stream.length));
            while (cutter.next()) {
              if (cutter.tag === DIRECT_TLS_TAG) return;
              expect(cutter.bodyOffset + cutter.bodyLength).toBeLessThanOrEqual(cutter.bytes.length);
            }
          }
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      },
    ),
  );
});
