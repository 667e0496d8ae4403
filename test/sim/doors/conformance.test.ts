import { describeClock } from '../../conformance/clock.ts';
import { describeFiles } from '../../conformance/files.ts';
import { describeSockets } from '../../conformance/sockets.ts';
import type { World } from '../../conformance/world.ts';
import { Kernel } from '../kernel.ts';
import type { SimDoors } from '../kernel-node.ts';

interface SimWorld extends World, SimDoors {
  readonly directory: string;
  readonly host: string;
}

for (const seed of [1, 2, 3]) {
  const makeWorld = async (): Promise<SimWorld> => {
    const kernel = new Kernel(seed);
    const node = kernel.addNode('node');
    node.disk.provideDirectory('/data');
    const incarnation = node.start(() => undefined);
    return {
      ...incarnation.doors,
      directory: '/data',
      host: '127.0.0.1',
      run: (body) => kernel.perform(body),
      [Symbol.asyncDispose]: async () => node.crash({ kind: 'kill' }),
    };
  };
  describeClock(`simulated, seed ${seed}`, makeWorld);
  describeFiles(`simulated, seed ${seed}`, makeWorld);
  describeSockets(`simulated, seed ${seed}`, makeWorld, { withTls: false });
}
