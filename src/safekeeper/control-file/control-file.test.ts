import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import { parseTenantId, parseTimelineId } from '../../base/ids.ts';
import { INVALID_LSN, type Lsn, parseLsn, toLsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import { nodeFiles } from '../../io/node/files.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import { decodeControlFile, encodeControlFile } from './control-file-codec.ts';
import { CONTROL_FILE_NAME, ControlFileStore } from './control-file-store.ts';

const GOLDEN = new URL('../../../test/golden/safekeeper-control-1.txt', import.meta.url);
const tenantId = parseTenantId('1f359dd625e519a1a4e8d7509690f6fc');
const timelineId = parseTimelineId('de200bd42b49cc1814412c7e592dd6e9');
const address = (id: number): { id: number; host: string; pgPort: number } => {
  return { id, host: `sk-${id}.example`, pgPort: 5454 };
};

const SAMPLE: PersistentState = {
  tenantId,
  timelineId,
  membership: { generation: 2, members: [1, 2, 3].map(address), newMembers: [2, 3, 4].map(address) },
  term: 7,
  termHistory: [
    { term: 1, lsn: parseLsn('0/16B5A50') },
    { term: 7, lsn: parseLsn('1/A0') },
  ],
  server: { pgVersion: 170005, systemIdentifier: 0xfedc_ba98_7654_3210n, segmentBytes: 16 * 1024 * 1024 },
  timelineStartLsn: parseLsn('0/16B5A50'),
  localStartLsn: parseLsn('0/16B5A50'),
  commitLsn: parseLsn('1/2000028'),
  backupLsn: parseLsn('1/1000000'),
  peerHorizonLsn: parseLsn('1/1800000'),
  remoteConsistentLsn: parseLsn('0/FF000028'),
  partialSegments: [
    {
      status: 'uploaded',
      name: '000000010000000100000002_7_0000000102000028_0000000102000028_sk1.partial',
      commitLsn: parseLsn('1/2000028'),
      flushLsn: parseLsn('1/2000028'),
      term: 7,
    },
  ],
  evictedAtLsn: parseLsn('1/2000028'),
  createdAtMs: 1_760_000_000_123,
};

const NEW: PersistentState = {
  ...SAMPLE,
  membership: { generation: 0, members: [], newMembers: undefined },
  termHistory: [],
  partialSegments: [],
  evictedAtLsn: undefined,
  commitLsn: INVALID_LSN,
};

const lsns: fc.Arbitrary<Lsn> = fc.maxSafeNat().map(toLsn);
const sets = fc
  .uniqueArray(fc.nat(), { minLength: 1, maxLength: 5 })
  .chain((ids) =>
    fc.tuple(
      ...ids.map((id) => fc.record({ id: fc.constant(id), host: fc.string(), pgPort: fc.nat(65535) })),
    ),
  );
const histories = fc
  .uniqueArray(fc.maxSafeNat(), { maxLength: 6 })
  .chain((terms) => fc.tuple(fc.constant(terms), fc.array(fc.maxSafeNat(), { minLength: 6, maxLength: 6 })))
  .map(([terms, positions]) => {
    const sorted = positions.sort((left, right) => left - right);
    return terms
      .sort((left, right) => left - right)
      .map((term, index) => ({ term, lsn: toLsn(sorted[index] as number) }));
  });
const states: fc.Arbitrary<PersistentState> = fc.record({
  tenantId: fc.constant(tenantId),
  timelineId: fc.constant(timelineId),
  membership: fc.record({
    generation: fc.nat(),
    members: sets,
    newMembers: fc.option(sets, { nil: undefined }),
  }),
  term: fc.maxSafeNat(),
  termHistory: histories,
  server: fc.record({
    pgVersion: fc.nat(),
    systemIdentifier: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
    segmentBytes: fc.integer({ min: 20, max: 30 }).map((bits) => 2 ** bits),
  }),
  timelineStartLsn: lsns,
  localStartLsn: lsns,
  commitLsn: lsns,
  backupLsn: lsns,
  peerHorizonLsn: lsns,
  remoteConsistentLsn: lsns,
  partialSegments: fc.array(
    fc.record({
      status: fc.constantFrom('in-progress', 'uploaded', 'deleting'),
      name: fc.string({ unit: 'binary' }),
      commitLsn: lsns,
      flushLsn: lsns,
      term: fc.maxSafeNat(),
    }),
    { maxLength: 3 },
  ),
  evictedAtLsn: fc.option(lsns, { nil: undefined }),
  createdAtMs: fc.maxSafeNat(),
});

const asText = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** A control file with this content, whose first line is right. */
function seal(content: string): Uint8Array {
  const body = Buffer.from(content);
  const crc = crc32c(body).toString(16).padStart(8, '0');
  return Buffer.concat([Buffer.from(`varve-safekeeper-control 1 ${crc} ${body.length}\n`), body]);
}

function refusal(bytes: Uint8Array): string {
  try {
    decodeControlFile(bytes, '/t/safekeeper.control');
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    expect([error.code, error.place.file]).toEqual(['BAD_CONTROL_FILE', '/t/safekeeper.control']);
    return error.reason;
  }
  throw new Error('it was taken');
}

describe('the format of a control file', () => {
  test('is the one that is kept', () => {
    const golden = readFileSync(GOLDEN);
    expect(asText(encodeControlFile(SAMPLE))).toBe(golden.toString());
    expect(decodeControlFile(golden, 'golden')).toEqual(SAMPLE);
  });

  test('brings every state back', () => {
    fc.assert(
      fc.property(states, (state) => {
        expect(decodeControlFile(encodeControlFile(state), 'f')).toEqual(state);
      }),
    );
    expect(decodeControlFile(encodeControlFile(NEW), 'f')).toEqual(NEW);
  });

  test('has no other form: any change of a byte is refused', () => {
    const bytes = encodeControlFile(SAMPLE);
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      refusal(changed);
      refusal(bytes.subarray(0, at));
    }
    refusal(Buffer.concat([bytes, Buffer.from(' ')]));
  });

  test('makes a typed error of any bytes, and of any JSON', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => typeof refusal(bytes) === 'string'));
    fc.assert(fc.property(fc.json(), (text) => typeof refusal(seal(text)) === 'string'));
    const good = JSON.parse(asText(encodeControlFile(SAMPLE)).split('\n').slice(1).join('\n'));
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(good)), fc.jsonValue(), (name, value) => {
        const bytes = seal(JSON.stringify({ ...good, [name]: value }));
        try {
          decodeControlFile(bytes, 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(CorruptionError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  const replace = (from: string | RegExp, to: string): string => {
    const content = asText(encodeControlFile(SAMPLE)).split('\n').slice(1).join('\n');
    const changed = content.replace(from, to);
    expect(changed).not.toBe(content);
    return refusal(seal(changed));
  };

  test.each([
    ['"term": 7,', '"term": -1,', /state.term is no whole number/],
    ['"term": 7,', '"term": 1e300,', /state.term is no whole number/],
    ['"term": 7,', '"term": 7, "vote": 8,', /unknown field "vote"/],
    [/ {2}"createdAtMs".*\n/, '  "createdAtMs": 1.5\n', /createdAtMs is no whole number/],
    [/,\n {2}"createdAtMs".*\n/, '\n', /no field createdAtMs/],
    ['"1/2000028"', '"1/2000028 "', /is not an LSN/],
    ['"uploaded"', '"lost"', /"lost" is no status/],
    ['18364758544493064720', '18446744073709551616', /systemIdentifier is no number of 64 bits/],
    ['16777216', '16777217', /no WAL segments of 16777217 bytes/],
    ['"term": 1,', '"term": 8,', /term 7 stands after term 8/],
    ['"id": 2', '"id": 1', /names a safekeeper twice/],
    ['1f359dd6', 'xf359dd6', /is no tenant id/],
    ['5454', '65536', /pgPort is no whole number from 0 to 65535/],
  ])('names what is wrong: %s as %s', (from, to, reason) => {
    expect(replace(from, to)).toMatch(reason);
  });

  test('names an unknown version', () => {
    const text = asText(encodeControlFile(SAMPLE)).replace('control 1 ', 'control 2 ');
    expect(refusal(Buffer.from(text))).toMatch(/version 2 of the format/);
  });
});

describe('a control file', () => {
  const withDirectory = async (action: (directory: string) => Promise<void>): Promise<void> => {
    const directory = mkdtempSync(join(tmpdir(), 'varve-control-'));
    try {
      await action(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
  const isAssertion = { kind: 'assertion' };

  test('is loaded, then saved state by state', () =>
    withDirectory(async (directory) => {
      const store = new ControlFileStore(nodeFiles, directory);
      await expect(store.save(SAMPLE)).rejects.toMatchObject(isAssertion);
      expect(await store.load()).toBeUndefined();
      // Many at a time: they are written one after another.
      const terms = [7, 8, 9, 10, 11];
      await Promise.all(terms.map((term) => store.save({ ...SAMPLE, term })));
      expect(await new ControlFileStore(nodeFiles, directory).load()).toEqual({ ...SAMPLE, term: 11 });
    }));

  test('never goes back', () =>
    withDirectory(async (directory) => {
      const store = new ControlFileStore(nodeFiles, directory);
      await store.load();
      await store.save(SAMPLE);
      const { membership } = SAMPLE;
      for (const change of [
        { term: 6 },
        { commitLsn: toLsn(SAMPLE.commitLsn - 8) },
        { membership: { ...membership, generation: 1 } },
        { timelineId: parseTimelineId('00'.repeat(16)) },
      ]) {
        await expect(store.save({ ...SAMPLE, ...change })).rejects.toMatchObject(isAssertion);
      }
      await store.save({ ...SAMPLE, term: 8 });
      expect((await store.load())?.term).toBe(8);
    }));

  test('that is damaged is not loaded', () =>
    withDirectory(async (directory) => {
      await nodeFiles.create(`${directory}/${CONTROL_FILE_NAME}`, new Uint8Array(100));
      const store = new ControlFileStore(nodeFiles, directory);
      await expect(store.load()).rejects.toMatchObject({ kind: 'corruption', place: { file: store.path } });
      await expect(store.save(SAMPLE)).rejects.toMatchObject(isAssertion);
    }));
});

const DIRECTORY = '/tenant/timeline';

/** Saves terms from `first` on until it dies. Returns at once; `saved` has what was promised. */
async function saveTerms(files: Files, first: number, count: number, saved: { term: number }): Promise<void> {
  const store = new ControlFileStore(files, DIRECTORY);
  await store.load();
  for (let term = first; term < first + count; term++) {
    await store.save({
      ...SAMPLE,
      term,
      partialSegments: SAMPLE.partialSegments.concat(SAMPLE.partialSegments),
    });
    saved.term = term;
  }
}

describe('a control file on a disk that loses what is not synced', () => {
  const moments = ['before', 'middle', 'after'] as const;
  const crashes = Array.from({ length: 24 }, (_, index) => index + 1).flatMap((effect) =>
    moments.flatMap((moment) => [1, 2, 3].map((seed) => [effect, moment, seed] as const)),
  );

  test('VF-01, VF-03: after a crash at any step there is the old or the new state, whole', async () => {
    for (const [effect, moment, seed] of crashes) {
      const kernel = new Kernel(effect * 10 + seed);
      const node = kernel.addNode('safekeeper');
      node.disk.provideDirectory(DIRECTORY);
      const saved = { term: 0 };
      node.start(({ files }) => saveTerms(files, 7, 2, saved));
      await kernel.run();
      expect(saved.term).toBe(8);
      node.crash();
      node.start(({ files }) => saveTerms(files, 9, 4, saved));
      node.crashAtEffect(effect, moment);
      await kernel.run();
      expect(node.isAlive).toBe(false);
      let found: PersistentState | undefined;
      node.start(async ({ files }) => {
        found = await new ControlFileStore(files, DIRECTORY).load();
        // What the crash has left under the temporary name does no harm.
        await saveTerms(files, 20, 1, { term: 0 });
      });
      await kernel.run();
      expect(found?.term).toBeGreaterThanOrEqual(saved.term);
      expect(found?.term).toBeLessThanOrEqual(saved.term + 1);
    }
  });

  test('after a failed write or sync the next one succeeds', async () => {
    for (const operation of ['write', 'sync', 'names'] as const) {
      const kernel = new Kernel(5);
      const node = kernel.addNode('safekeeper');
      node.disk.provideDirectory(DIRECTORY);
      const { files } = node.start(() => undefined).doors;
      await kernel.perform(async () => {
        const store = new ControlFileStore(files, DIRECTORY);
        await store.load();
        await store.save(SAMPLE);
        node.disk.faults.failNext(operation, CONTROL_FILE_NAME);
        const error = await store.save({ ...SAMPLE, term: 8 }).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(VarveError);
        expect((error as VarveError).kind).toBe('unavailable');
        await store.save({ ...SAMPLE, term: 9 });
        expect((await new ControlFileStore(files, DIRECTORY).load())?.term).toBe(9);
      });
    }
  });
});
