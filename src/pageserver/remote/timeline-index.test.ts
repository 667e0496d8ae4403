import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { delta, HEAD, NAME, named, START, TIMELINE } from '../../../test/support/remote-world.ts';
import { VarveError } from '../../base/errors.ts';
import { parseTimelineId } from '../../base/ids.ts';
import { toLsn } from '../../base/lsn.ts';
import { nodeClock } from '../../io/node/clock.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import { isLayerBaseName } from './layer-base-name.ts';
import { indexKey, indexPrefix, layerKey, parseObjectName, timelinePrefix } from './object-keys.ts';
import { type IndexHead, type IndexLayer, toIndexLayer, toLayerDescription } from './timeline-index.ts';
import { decodeTimelineIndex, encodeTimelineIndex } from './timeline-index-codec.ts';

const golden = (version: number): Buffer =>
  readFileSync(new URL(`../../../test/golden/timeline-index-${version}.txt`, import.meta.url));

const BRANCH: IndexHead = {
  ...HEAD,
  ancestor: {
    timelineId: parseTimelineId('00112233445566778899aabbccddeeff'),
    lsn: START,
    recordStartLsn: toLsn(START - 64),
  },
  diskConsistentLsn: toLsn(START + 0x1_0000_0000),
  previousRecordLsn: toLsn(START + 0xffff_0000),
  leasedLsns: [toLsn(START - 64), toLsn(START - 8)],
  deletedAtMs: 1_760_000_000_123,
  archivedAtMs: 1_750_000_000_000,
  isGcBlocked: true,
};
/** What becomes of it without its ancestor. */
const DETACHED: IndexHead = {
  ...BRANCH,
  ancestor: undefined,
  deletedAtMs: undefined,
  archivedAtMs: undefined,
  isGcBlocked: false,
  detachedFrom: {
    timelineId: parseTimelineId('00112233445566778899aabbccddeeff'),
    lsn: START,
    edgeLsns: [START, toLsn(START - 0x1000)],
    branches: [parseTimelineId('0123456789abcdef0123456789abcdef')],
    isComplete: false,
  },
};
const LAYERS: readonly IndexLayer[] = [
  named(delta(0, 3, 1_000_000)),
  named(delta(1, 7)),
  named({ ...delta(2, 7, 0), kind: 'image', lsnEnd: toLsn(START + 33) }),
];

/** As the one who makes layers says it. */
function isLayerName(text: string): boolean {
  try {
    return formatLayerName(parseLayerName(text)) === text;
  } catch (error) {
    expect(error).toMatchObject({ kind: 'bad-request' });
    return false;
  }
}

const never = async (): Promise<void> => undefined;

async function encode(head: IndexHead, layers: readonly IndexLayer[], generation = 7): Promise<Uint8Array> {
  return Buffer.concat(await encodeTimelineIndex(head, layers, generation, never));
}

const decode = (bytes: Uint8Array): ReturnType<typeof decodeTimelineIndex> =>
  decodeTimelineIndex(bytes, 'the-key', never);

async function refusal(bytes: Uint8Array): Promise<VarveError> {
  const error: unknown = await decode(bytes).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(VarveError);
  expect((error as VarveError).message).toContain('file the-key');
  return error as VarveError;
}

/** The same with another content, and a first line that fits it. */
async function changed(from: string | RegExp, to: string): Promise<Uint8Array> {
  const { crc32c } = await import('../../base/crc32c.ts');
  const text = Buffer.from(await encode(BRANCH, LAYERS)).toString();
  const body = Buffer.from(text.slice(text.indexOf('\n') + 1).replace(from, to));
  expect(body.toString()).not.toBe(text.slice(text.indexOf('\n') + 1));
  const crc = crc32c(body).toString(16).padStart(8, '0');
  return Buffer.concat([Buffer.from(`varve-timeline-index 2 ${crc} ${body.length}\n`), body]);
}

test('IX-08: an index is what the stored example of its version says, and the example of version 1 is read', async () => {
  expect(Buffer.from(await encode(BRANCH, LAYERS)).toString()).toBe(golden(2).toString());
  const { head, layers, generation } = await decode(golden(2));
  expect(head).toEqual(BRANCH);
  expect((await decode(golden(1))).head).toEqual({ ...BRANCH, leasedLsns: [], isGcBlocked: false });
  const detached = readFileSync(
    new URL('../../../test/golden/timeline-index-2-detached.txt', import.meta.url),
  );
  expect(Buffer.from(await encode(DETACHED, LAYERS)).toString()).toBe(detached.toString());
  expect((await decode(detached)).head).toEqual(DETACHED);
  expect([...layers.values()]).toEqual(LAYERS);
  expect(generation).toBe(7);
});

test('any index comes back as it was', async () => {
  const lsn = fc.integer({ min: START, max: Number.MAX_SAFE_INTEGER - 1 }).map(toLsn);
  await fc.assert(
    fc.asyncProperty(
      fc.array(lsn, { minLength: 4, maxLength: 4 }).map((lsns) => lsns.sort((left, right) => left - right)),
      fc.uniqueArray(fc.nat(100_000), { maxLength: 1200 }),
      fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
      fc.boolean(),
      async ([first, second, third, last], numbers, systemIdentifier, hasDataChecksums) => {
        const head = {
          ...HEAD,
          systemIdentifier,
          hasDataChecksums,
          initialLsn: first!,
          gcCutoffLsn: second!,
          previousRecordLsn: third!,
          diskConsistentLsn: last!,
        };
        const layers = numbers.map((number) => named(delta(number, 1 + (number % 7), number)));
        const back = await decode(await encode(head, layers));
        expect(back.head).toEqual(head);
        expect([...back.layers.values()]).toEqual(layers);
      },
    ),
    { numRuns: 60 },
  );
});

test('IX-03: damage anywhere in an index is a typed error that names the key', async () => {
  const bytes = await encode(BRANCH, LAYERS);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1 << (at % 8);
    const { kind } = await refusal(damaged);
    expect(['corruption', 'precondition']).toContain(kind);
  }
  for (let length = 0; length < bytes.length; length++) {
    expect((await refusal(bytes.subarray(0, length))).code).toBe('BAD_TIMELINE_INDEX');
  }
});

test('any bytes are an index or a typed error', async () => {
  const whole = await encode(BRANCH, LAYERS);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(whole.length), async (noise, at) => {
      await refusal(noise);
      await refusal(Buffer.concat([whole.subarray(0, at), noise.length === 0 ? Buffer.from('x') : noise]));
    }),
    { numRuns: 300 },
  );
});

test('what an index says is checked, with a right CRC too', async () => {
  const wrong: readonly (readonly [string | RegExp, string])[] = [
    ['"postgresMajor":17', '"postgresMajor":17,"something":1'],
    ['"postgresMajor":17,', ''],
    ['"postgresMajor":17', '"postgresMajor":"17"'],
    ['"systemIdentifier":"1', '"systemIdentifier":"9'],
    ['"walSegmentBytes":16777216', '"walSegmentBytes":16777215'],
    ['"layerCount":3', '"layerCount":4'],
    ['"gcCutoffLsn":"0/16B5A50"', '"gcCutoffLsn":"2/0"'],
    ['"leasedLsns":["0/16B5A10","0/16B5A48"],', ''],
    ['"0/16B5A10","0/16B5A48"', '"0/16B5A10","0/16B5A50"'],
    ['"0/16B5A10","0/16B5A48"', '"0/16B5A48","0/16B5A48"'],
    ['"0/16B5A10","0/16B5A48"', '"0/16B5A48","0/16B5A10"'],
    ['"gcCutoffLsn":"0/16B5A50"', '"gcCutoffLsn":"200000/0"'],
    ['"timelineId":"00112233445566778899aabbccddeeff"', `"timelineId":"${TIMELINE}"`],
    [/\["[^\n]*\n/, 'null\n'],
    [/\["[^\n]*\n/, '["a layer",1,1]\n'],
    [',1000000,3]', ',-1,3]'],
    [',1000000,3]', ',1.5,3]'],
    [',1000000,3]', ',1000000,0]'],
    [',1000000,3]', ',1000000,8]'],
    [',1000000,3]', ',1000000,3,4]'],
    [/(\["[^\n]*\n)\["[^\n]*\n/, '$1$1'],
    [/\n$/, ''],
    [/$/, '\n'],
    [/\{.*\}\n/, ''],
  ];
  for (const [from, to] of wrong) {
    expect((await refusal(await changed(from, to))).code, `${from} → ${to}`).toBe('BAD_TIMELINE_INDEX');
  }
  const other = Buffer.from(
    Buffer.from(await encode(BRANCH, LAYERS))
      .toString()
      .replace('-index 2 ', '-index 3 '),
  );
  expect(await refusal(other)).toMatchObject({ kind: 'precondition', code: 'UNKNOWN_FORMAT_VERSION' });
});

test('an index that cannot be is not written', async () => {
  await expect(encode({ ...HEAD, gcCutoffLsn: toLsn(START + 8) }, [])).rejects.toMatchObject({
    kind: 'assertion',
  });
});

test('an index of 100 000 layers holds nobody up for long', async () => {
  const layers = Array.from({ length: 100_000 }, (_, number) => named(delta(number, 7, number)));
  let turnStartedMs = 0;
  let turns: number[] = [];
  const yieldToOthers = async (): Promise<void> => {
    turns.push(performance.now() - turnStartedMs);
    await nodeClock.yieldToOthers();
    turnStartedMs = performance.now();
  };
  const measure = async <Result>(action: () => Promise<Result>): Promise<Result> => {
    turns = [];
    turnStartedMs = performance.now();
    const result = await action();
    turns.push(performance.now() - turnStartedMs);
    turns.sort((left, right) => left - right);
    return result;
  };
  const pieces = await measure(() => encodeTimelineIndex(HEAD, layers, 7, yieldToOthers));
  // The machine may be busy with something else: the median tells of the work itself.
  expect(turns.length).toBeGreaterThan(100);
  expect(turns[turns.length >> 1]).toBeLessThan(2);
  const bytes = Buffer.concat(pieces);
  const index = await measure(() => decodeTimelineIndex(bytes, 'the-key', yieldToOthers));
  expect(turns.length).toBeGreaterThan(100);
  expect(turns[turns.length >> 1]).toBeLessThan(2);
  expect(index.layers.size).toBe(100_000);
});

test('GN-04: keys of layers and indexes have the generation of their writer', () => {
  const layer = named(delta(0, 0x1f));
  const prefix = 'tenants/1f359dd625e519a1a4e8d7509690f6fc/timelines/de200bd42b49cc1814412c7e592dd6e9/';
  expect(timelinePrefix(NAME)).toBe(prefix);
  expect(layerKey(NAME, layer)).toBe(`${prefix}${layer.name}-0000001f`);
  expect(layer.name).toBe(`${'0'.repeat(36)}-${'F'.repeat(36)}__00000000016B5A50-00000000016B5A60`);
  expect(indexKey(NAME, 0xffff_ffff)).toBe(`${prefix}timeline-index-ffffffff`);
  expect(indexKey(NAME, 2).startsWith(indexPrefix(NAME))).toBe(true);
  expect(parseObjectName(`${layer.name}-0000001f`)).toEqual({
    kind: 'layer',
    name: layer.name,
    generation: 31,
  });
  expect(parseObjectName('timeline-index-00000002')).toEqual({ kind: 'index', generation: 2 });
  expect(() => indexKey(NAME, 0)).toThrow();
  expect(() => indexKey(NAME, 2 ** 32)).toThrow();
});

test('IX-07: other names are unknown, and no error', () => {
  const layer = named(delta(0, 1)).name;
  const unknown = [
    '',
    'deleted',
    'timeline-index',
    'timeline-index-2',
    'timeline-index-00000000',
    'timeline-index-0000000A',
    'timeline-index-00000002.bak',
    'index_part.json-00000002',
    layer,
    `${layer}-v1-00000001`,
    `${layer}-00000001/x`,
    `x${layer}-00000001`,
  ];
  for (const name of unknown) expect(parseObjectName(name), name).toEqual({ kind: 'unknown' });
});

test('names of layers are told from others as their parser tells them', () => {
  const digits = (count: number) =>
    fc
      .array(fc.constantFrom(...'00000012FFf'), { minLength: count, maxLength: count })
      .map((characters) => characters.join(''));
  const name = fc
    .tuple(digits(36), digits(36), digits(16), digits(16), fc.boolean())
    .map(([start, end, first, last, isDelta]) => `${start}-${end}__${first}${isDelta ? `-${last}` : ''}`);
  fc.assert(
    fc.property(fc.oneof(name, fc.string()), (text) => {
      expect(isLayerBaseName(text)).toBe(isLayerName(text));
    }),
    { numRuns: 2000 },
  );
  for (const lsn of ['001FFFFFFFFFFFFE', '001FFFFFFFFFFFFF', '0020000000000000', '0000000000000000']) {
    const image = `${'0'.repeat(36)}-${'F'.repeat(36)}__${lsn}`;
    for (const text of [image, `${image}-001FFFFFFFFFFFFF`, `${image}-0020000000000000`]) {
      expect(isLayerBaseName(text), text).toBe(isLayerName(text));
    }
  }
  const layer = delta(5, 9);
  expect(toLayerDescription(toIndexLayer(layer))).toEqual(layer);
});
