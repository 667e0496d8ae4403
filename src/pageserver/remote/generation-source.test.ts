import { expect, test } from 'vitest';
import { Kernel } from '../../../test/sim/kernel.ts';
import type { SimNode } from '../../../test/sim/kernel-node.ts';
import { AttachmentService } from '../../../test/support/attachment-service.ts';
import { never, TENANT } from '../../../test/support/remote-world.ts';
import { parseTenantId } from '../../base/ids.ts';
import { replaceFile } from '../../io/replace-file.ts';
import { CollectingLogger } from '../../observe/log.ts';
import { Metrics } from '../../observe/metrics.ts';
import { encodeCheckedJson } from './checked-text.ts';
import { FileGenerationSource, GENERATIONS_FILE_NAME } from './file-generation-source.ts';
import { GENERATION_MAX } from './generation.ts';
import type { GenerationClaim, GenerationSource } from './generation-source.ts';
import { GenerationValidator } from './generation-validator.ts';
import { RemoteMetrics } from './remote-metrics.ts';

const DIRECTORY = '/pageserver';
const OTHER = parseTenantId('0'.repeat(32));

function nodeFor(seed = 1): SimNode {
  const node = new Kernel(seed).addNode('node');
  node.disk.provideDirectory(DIRECTORY);
  return node;
}

/** A new process, after a crash of the one before. */
async function open(node: SimNode): Promise<FileGenerationSource> {
  node.crash({ survival: 'some' });
  const { files } = node.start(() => undefined).doors;
  return await node.kernel.perform(() => FileGenerationSource.open(files, DIRECTORY));
}

test('GN-01: each start gives each attached tenant a new, higher generation', async () => {
  const node = nodeFor();
  const { kernel } = node;
  let source = await open(node);
  expect(await kernel.perform(() => source.reattachAll(never))).toEqual(new Map());
  expect(await kernel.perform(() => source.attach(TENANT, never))).toBe(1);
  for (let start = 2; start < 10; start++) {
    source = await open(node);
    // Before it has attached, a process has no claim.
    expect(await kernel.perform(() => source.reattachAll(never))).toEqual(new Map([[TENANT, start]]));
    const claims = [start - 1, start, start + 1].map((generation) => ({ tenantId: TENANT, generation }));
    expect(await source.validate(claims, never)).toEqual([claims[1]]);
  }
  expect(await kernel.perform(() => source.attach(OTHER, never, 41))).toBe(42);
  await kernel.perform(() => source.detach(TENANT, never));
  await kernel.perform(() => source.detach(parseTenantId('1'.repeat(32)), never));
  expect(await source.validate([{ tenantId: TENANT, generation: 9 }], never)).toEqual([]);
  source = await open(node);
  expect(await kernel.perform(() => source.reattachAll(never))).toEqual(new Map([[OTHER, 43]]));
  // A tenant that was detached goes on where it was.
  expect(await kernel.perform(() => source.attach(TENANT, never))).toBe(10);
});

test('GN-01: whatever effect a crash comes at, no two processes get one generation', async () => {
  for (const moment of ['before', 'middle', 'after'] as const) {
    for (const kind of ['kill', 'power'] as const) {
      const node = nodeFor(7);
      const { kernel } = node;
      const given = new Set<number>();
      let highest = 0;
      const take = (generation: number | undefined): void => {
        if (generation === undefined) return;
        expect(given.has(generation)).toBe(false);
        expect(generation).toBeGreaterThan(highest);
        highest = generation;
        given.add(generation);
      };
      for (let effect = 1; effect < 60; effect++) {
        node.crash({ kind, survival: 'some' });
        const { files } = node.start(() => undefined).doors;
        node.crashAtEffect(1 + (effect % 20), moment, { kind, survival: 'some' });
        const life = async (): Promise<void> => {
          const source = await FileGenerationSource.open(files, DIRECTORY);
          take((await source.reattachAll(never)).get(TENANT));
          take(await source.attach(TENANT, never));
          take(await source.attach(TENANT, never));
        };
        let failure: unknown;
        life().catch((error: unknown) => {
          failure = error;
        });
        await kernel.run();
        expect(failure).toBeUndefined();
      }
      expect(given.size).toBeGreaterThan(20);
    }
  }
});

test('GN-01: a generation whose writing failed is not given again', async () => {
  const node = nodeFor();
  const source = await open(node);
  node.disk.faults.failNext('sync', DIRECTORY, 1);
  await expect(node.kernel.perform(() => source.attach(TENANT, never))).rejects.toMatchObject({
    code: 'FILE_IO',
  });
  expect(await node.kernel.perform(() => source.attach(TENANT, never))).toBe(2);
  const together = await node.kernel.perform(() =>
    Promise.all([3, 4, 5].map(() => source.attach(TENANT, never))),
  );
  expect(together).toEqual([3, 4, 5]);
  await expect(source.attach(TENANT, AbortSignal.abort())).rejects.toMatchObject({ kind: 'cancelled' });
  await expect(node.kernel.perform(() => source.attach(TENANT, never, GENERATION_MAX))).rejects.toMatchObject(
    { kind: 'assertion' },
  );
});

test('a damaged file of generations is refused, since generations would be given again', async () => {
  const node = nodeFor();
  const source = await open(node);
  await node.kernel.perform(() => source.attach(TENANT, never));
  const { files } = node.incarnation!.doors;
  const path = `${DIRECTORY}/${GENERATIONS_FILE_NAME}`;
  await node.kernel.perform(async () => {
    await using file = await files.openForUpdate(path);
    await file.write(Uint8Array.of(0x20), 0, 1, file.sizeBytes - 4);
  });
  const error: unknown = await node.kernel
    .perform(() => FileGenerationSource.open(files, DIRECTORY))
    .catch((e: unknown) => e);
  expect(error).toMatchObject({ kind: 'corruption', code: 'BAD_GENERATIONS_FILE', place: { file: path } });
});

test('GN-06: the service for tests gives no generation twice, and knows the newest', async () => {
  const service = new AttachmentService();
  const [first, second] = [service.forNode(1), service.forNode(2)];
  expect(await first.attach(TENANT, never)).toBe(1);
  expect(await second.attach(TENANT, never)).toBe(2);
  expect(await first.reattachAll(never)).toEqual(new Map());
  expect(await second.reattachAll(never)).toEqual(new Map([[TENANT, 3]]));
  const claims = [1, 2, 3].map((generation) => ({ tenantId: TENANT, generation }));
  expect(await second.validate(claims, never)).toEqual([claims[2]]);
  expect(await first.validate(claims, never)).toEqual([]);
  await first.detach(TENANT, never);
  expect(await second.validate(claims, never)).toEqual([claims[2]]);
  await second.detach(TENANT, never);
  expect(await second.validate(claims, never)).toEqual([]);
});

test('claims that come while a call is under way go into the next one together', async () => {
  const node = nodeFor();
  const { clock, random } = node.start(() => undefined).doors;
  const calls: (readonly GenerationClaim[])[] = [];
  const answers: (() => void)[] = [];
  const source = {
    validate: async (claims, signal) => {
      calls.push(claims);
      await new Promise<void>((resolve, reject) => {
        answers.push(resolve);
        signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      });
      return claims.filter(({ generation }) => generation > 1);
    },
  } as Pick<GenerationSource, 'validate'> as GenerationSource;
  const metrics = new RemoteMetrics(new Metrics(clock));
  const validator = new GenerationValidator({
    source,
    clock,
    random,
    logger: new CollectingLogger(),
    metrics,
  });
  const first = validator.isCurrent({ tenantId: TENANT, generation: 1 }, never);
  const rest = [2, 1, 2].map((generation) => validator.isCurrent({ tenantId: TENANT, generation }, never));
  const ending = new AbortController();
  const given = validator.isCurrent({ tenantId: OTHER, generation: 3 }, ending.signal);
  ending.abort();
  await expect(given).rejects.toMatchObject({ kind: 'cancelled' });
  answers.shift()?.();
  expect(await first).toBe(false);
  await Promise.resolve();
  answers.shift()?.();
  expect(await Promise.all(rest)).toEqual([true, false, true]);
  expect(calls.map((claims) => claims.map(({ generation }) => generation))).toEqual([[1], [2, 1]]);
  await validator.shutdown();
  await expect(validator.isCurrent({ tenantId: TENANT, generation: 2 }, never)).rejects.toMatchObject({
    kind: 'cancelled',
  });
});

test('GN-01: a stale tenant keeps its generation and is stale after a restart; a file of version 1 knows no modes', async () => {
  const node = nodeFor();
  const { kernel } = node;
  const first = await open(node);
  await kernel.perform(() => first.attach(TENANT, never));
  await kernel.perform(() => first.changeMode(TENANT, 1, 'AttachedStale', never));
  await kernel.perform(() => first.adopt(OTHER, 5, 'AttachedMulti', never));
  expect(await first.validate([{ tenantId: TENANT, generation: 1 }], never)).toEqual([]);
  const second = await open(node);
  expect(await kernel.perform(() => second.reattachAll(never))).toEqual(
    new Map([
      [TENANT, 1],
      [OTHER, 6],
    ]),
  );
  expect([second.modeOf(TENANT), second.modeOf(OTHER)]).toEqual(['AttachedStale', 'AttachedMulti']);

  const { files } = node.incarnation!.doors;
  const old = { name: 'varve-generations', version: 1, errorCode: 'X', bytesMax: 1000 };
  const content = encodeCheckedJson(old, {
    tenants: [{ tenantId: TENANT, generation: 3, isAttached: true }],
  });
  await kernel.perform(() => replaceFile(files, DIRECTORY, GENERATIONS_FILE_NAME, content));
  const third = await open(node);
  expect(await kernel.perform(() => third.reattachAll(never))).toEqual(new Map([[TENANT, 4]]));
  expect(third.modeOf(TENANT)).toBe('AttachedSingle');
});
