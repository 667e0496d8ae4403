import { describe, expect, test } from 'vitest';
import { Kernel } from '../../../../test/sim/kernel.ts';
import type { CrashMoment, CrashOptions, SimNode } from '../../../../test/sim/kernel-node.ts';
import { key, type LayerValue, readCursor, writeLayer } from '../../../../test/support/layer-samples.ts';
import type { Files } from '../../../io/files.ts';
import { findLayerFile } from '../layer-name.ts';
import { VALUE_RECORD } from '../value.ts';
import { LayerCursor } from './layer-cursor.ts';
import { verifyLayer } from './verify-layer.ts';

const VALUES: readonly LayerValue[] = Array.from({ length: 300 }, (_, index) => ({
  key: key(0, 16384, index * 7),
  lsn: 0x100 + index,
  flags: VALUE_RECORD,
  bytes: new Uint8Array(index).fill(index),
}));

const MOMENTS: readonly CrashMoment[] = ['before', 'middle', 'after'];
const CRASHES: readonly CrashOptions[] = [
  { kind: 'kill' },
  { kind: 'power', survival: 'nothing' },
  { kind: 'power', survival: 'some' },
];

/** Writes a layer in a life that ends with a crash. Returns whether writing had come back before. */
async function writeAndCrash(
  node: SimNode,
  effect: number,
  moment: CrashMoment,
  crash: CrashOptions,
): Promise<boolean> {
  let hasFinished = false;
  node.restart(async ({ files }) => {
    node.crashAtEffect(effect, moment, crash);
    await writeLayer(files, '/data', VALUES, { compression: 'none' });
    hasFinished = true;
    node.crash(crash);
  }, crash);
  await node.kernel.run();
  return hasFinished;
}

/** Reads what the next life finds. Returns how many layers those are, which are whole. */
async function countLayers(files: Files): Promise<number> {
  const names = await files.list('/data');
  const layers = names.filter((name) => findLayerFile(name) !== undefined);
  for (const name of layers) {
    const layer = await verifyLayer(files, `/data/${name}`);
    await using cursor = await LayerCursor.open(files, `/data/${name}`, layer);
    expect(await readCursor(cursor)).toEqual(VALUES);
  }
  for (const name of names) if (!layers.includes(name)) expect(name).toBe('layer.temporary');
  return layers.length;
}

describe('VF-06: after a crash at any step of writing it, a layer is whole or not there', () => {
  for (const crash of CRASHES) {
    for (const moment of MOMENTS) {
      test(`${moment} each effect, ${crash.kind} ${crash.survival ?? ''}`, async () => {
        const counts = new Set<number>();
        let effect = 0;
        for (let isOver = false; !isOver; ) {
          effect++;
          for (let seed = 1; seed <= 5; seed++) {
            const node = new Kernel(seed).addNode('node');
            node.disk.provideDirectory('/data');
            isOver = await writeAndCrash(node, effect, moment, crash);
            const { files } = node.start(() => undefined).doors;
            const count = await node.kernel.perform(() => countLayers(files));
            if (isOver) expect(count).toBe(1);
            counts.add(count);
          }
        }
        // Open, resize, write of the blocks and of the header, sync, rename, sync of the directory; and one without.
        expect(effect).toBe(8);
        expect([...counts].sort()).toEqual([0, 1]);
      });
    }
  }
});
