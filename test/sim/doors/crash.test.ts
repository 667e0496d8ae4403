import { expect, test } from 'vitest';
import type { Connection } from '../../../src/io/sockets.ts';
import { Kernel } from '../kernel.ts';
import type { CrashMoment } from '../kernel-node.ts';

const never = new AbortController().signal;

test('nothing of a dead incarnation ever runs, and its calls have no effect', async () => {
  const kernel = new Kernel(1);
  const [node, peer] = [kernel.addNode('node'), kernel.addNode('peer')];
  node.disk.provideDirectory('/data');
  let received = 0;
  peer.start(({ sockets }) =>
    sockets
      .listen({ host: 'peer', port: 1 }, (connection) => {
        connection.receive({
          onBytes: (chunk) => {
            received += chunk.length;
            connection.send(chunk);
          },
          onEnd: () => connection.close(),
          onClosed: () => undefined,
        });
      })
      .then(() => undefined),
  );
  await kernel.run();
  const late: string[] = [];
  const { doors } = node.start(() => undefined);
  const { files, sockets, clock } = doors;
  const opened = await kernel.perform(async () => {
    const file = await files.openForUpdate('/data/a');
    await files.syncDirectory('/data');
    const connection = await sockets.connect({ host: 'peer', port: 1 }, never);
    connection.receive({
      onBytes: () => void late.push('bytes'),
      onEnd: () => void late.push('end'),
      onClosed: () => void late.push('closed'),
    });
    return { file, connection };
  });
  const { file, connection } = opened;
  const byte = Uint8Array.of(1);
  const underWay = (): void => {
    const calls: Record<string, () => Promise<unknown>> = {
      write: () => file.write(byte, 0, 1, 0),
      sync: () => file.sync(),
      read: () => file.read(new Uint8Array(1), 0, 1, 0),
      resize: () => file.resize(7),
      list: () => files.list('/data'),
      rename: () => files.rename('/data/a', '/data/b'),
      connect: () => sockets.connect({ host: 'peer', port: 1 }, never),
      listen: () => sockets.listen({ host: 'node', port: 2 }, (other) => other.close()),
      drained: () => connection.drained(-1),
      yield: () => clock.yieldToOthers(),
    };
    for (const [name, call] of Object.entries(calls)) {
      call().then(
        () => late.push(name),
        () => late.push(`${name} failed`),
      );
    }
    clock.setTimer(1, () => void late.push('timer'));
    connection.send(byte, () => void late.push('sent'));
  };
  kernel.after(undefined, 0, () => {
    underWay();
    node.crash({ kind: 'kill' });
    underWay();
    file.writeNow(byte, 0, 1, 0);
    connection.end();
    connection.close();
  });
  await kernel.run();
  // Listening had taken place before the crash, and its promise settled within the event.
  expect(late.filter((name) => name !== 'listen')).toEqual([]);
  expect(received).toBe(0);
  const next = node.start(() => undefined).doors.files;
  expect(await kernel.perform(() => next.list('/data'))).toEqual(['a']);
  expect((await kernel.perform(() => next.stat('/data/a'))).sizeBytes).toBe(0);
});

test('a rejection in a dead incarnation does not end the run', async () => {
  const kernel = new Kernel(1);
  const node = kernel.addNode('node');
  node.start(async () => {
    node.crash();
    throw new Error('nobody hears this');
  });
  expect(await kernel.run()).toBe('idle');
});

test('the process crashes before, in the middle of or after a chosen effect', async () => {
  const sizes: Record<string, Set<number>> = {};
  for (const moment of ['before', 'middle', 'after'] as const satisfies CrashMoment[]) {
    const seen = (sizes[moment] = new Set());
    for (let seed = 1; seed <= 50; seed++) {
      const kernel = new Kernel(seed);
      const node = kernel.addNode('node');
      node.disk.provideDirectory('/data');
      let restarts = 0;
      node.onCrash = () => restarts++;
      let written = 0;
      node.start(async ({ files }) => {
        const file = await files.openForUpdate('/data/a');
        node.crashAtEffect(3, moment, { kind: 'kill' });
        for (let index = 0; index < 5; index++) {
          file.writeNow(new Uint8Array(1024), 0, 1024, index * 1024);
          written++;
        }
      });
      await kernel.run();
      expect([node.isAlive, restarts]).toEqual([false, 1]);
      // A dead process runs on to where it waits next.
      expect(written).toBe(5);
      const { files } = node.start(() => undefined).doors;
      seen.add((await kernel.perform(() => files.stat('/data/a'))).sizeBytes);
    }
  }
  expect([...sizes.before!]).toEqual([2048]);
  expect([...sizes.middle!].sort()).toEqual([2048, 2560, 3072].filter((size) => sizes.middle!.has(size)));
  expect(sizes.middle!.size).toBeGreaterThan(1);
  expect([...sizes.after!]).toEqual([3072]);
});

test('a crash at a send lets nothing, a part or all of it leave', async () => {
  const lengths: Record<string, Set<number>> = {};
  for (const moment of ['before', 'middle', 'after'] as const satisfies CrashMoment[]) {
    const seen = (lengths[moment] = new Set());
    for (let seed = 1; seed <= 30; seed++) {
      const kernel = new Kernel(seed);
      const [client, server] = [kernel.addNode('client'), kernel.addNode('server')];
      let received = 0;
      let isOver = false;
      const accept = (connection: Connection): void => {
        connection.receive({
          onBytes: (chunk) => {
            received += chunk.length;
          },
          onEnd: () => connection.close(),
          onClosed: () => {
            isOver = true;
          },
        });
      };
      server.start(async ({ sockets }) => void (await sockets.listen({ host: 'server', port: 1 }, accept)));
      client.start(async ({ clock, sockets }) => {
        await new Promise<void>((resolve) => clock.setTimer(10, resolve));
        const connection = await sockets.connect({ host: 'server', port: 1 }, never);
        client.crashAtEffect(1, moment, { kind: 'kill' });
        connection.send(new Uint8Array(1000));
      });
      await kernel.run();
      expect(isOver).toBe(true);
      seen.add(received);
    }
  }
  expect([...lengths.before!]).toEqual([0]);
  expect(lengths.middle!.size).toBeGreaterThan(10);
  expect([...lengths.after!]).toEqual([1000]);
});
