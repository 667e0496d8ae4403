import { describe, expect, test } from 'vitest';
import type { Connection } from '../../../src/io/sockets.ts';
import { Inbox } from '../../conformance/inbox.ts';
import { expectError, expectRefusal } from '../../conformance/world.ts';
import { Kernel } from '../kernel.ts';
import type { SimNode } from '../kernel-node.ts';

const never = new AbortController().signal;
const ADDRESS = { host: 'server', port: 5454 };
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

interface Side {
  readonly node: SimNode;
  readonly connection: Connection;
  readonly inbox: Inbox;
}

interface TwoSides {
  readonly kernel: Kernel;
  readonly client: Side;
  readonly server: Side;
}

/** A connection between two nodes. Both sides receive. */
async function connected(seed = 1): Promise<TwoSides> {
  const kernel = new Kernel(seed);
  const [clientNode, serverNode] = [kernel.addNode('client'), kernel.addNode('server')];
  const client = clientNode.start(() => undefined).doors;
  const server = serverNode.start(() => undefined).doors;
  const side = (node: SimNode, connection: Connection): Side => {
    const inbox = new Inbox();
    connection.receive(inbox);
    return { node, connection, inbox };
  };
  return kernel.perform(async () => {
    let accepted: Connection | undefined;
    await server.sockets.listen(ADDRESS, (connection) => {
      accepted = connection;
    });
    const connection = await client.sockets.connect(ADDRESS, never);
    return { kernel, client: side(clientNode, connection), server: side(serverNode, accepted!) };
  });
}

/** Lets so much simulated time pass. */
const pass = async (kernel: Kernel, ms: number): Promise<void> => {
  await kernel.run({ untilMs: kernel.nowUs / 1000 + ms });
};

describe('partitions', () => {
  test('what cannot get through is held until it can, in order; the other way stays open', async () => {
    const { kernel, client, server } = await connected();
    kernel.network.block(client.node, server.node);
    client.connection.send(text('one '));
    client.connection.send(text('two'));
    server.connection.send(text('back'));
    await pass(kernel, 5000);
    expect([server.inbox.text, client.inbox.text]).toEqual(['', 'back']);
    kernel.network.heal(client.node, server.node);
    await pass(kernel, 100);
    expect(server.inbox.text).toBe('one two');
    client.connection.send(text(' three'));
    await pass(kernel, 60_000);
    expect([server.inbox.text, client.connection.isClosed]).toEqual(['one two three', false]);
  });

  test('what is on the way already is held too', async () => {
    const { kernel, client, server } = await connected();
    client.connection.send(text('on the way'));
    kernel.network.block(client.node, server.node);
    await pass(kernel, 1000);
    expect(server.inbox.text).toBe('');
    kernel.network.healAll();
    await pass(kernel, 100);
    expect(server.inbox.text).toBe('on the way');
  });

  test('a sender gives up after a while, and the other side hears of it when it can', async () => {
    const { kernel, client, server } = await connected();
    const closed = client.inbox.closed();
    kernel.network.block(client.node, server.node);
    client.connection.send(text('lost'));
    await pass(kernel, 14_000);
    expect(client.connection.isClosed).toBe(false);
    await pass(kernel, 2000);
    expectError(await closed, 'unavailable', 'CONNECTION_LOST');
    expect(server.connection.isClosed).toBe(false);
    kernel.network.heal(client.node, server.node);
    await pass(kernel, 100);
    expectError(await server.inbox.closed(), 'unavailable', 'CONNECTION_LOST');
  });

  test('a sender also gives up where only the acknowledgements do not get through', async () => {
    const { kernel, client, server } = await connected();
    kernel.network.block(server.node, client.node);
    client.connection.send(text('heard'));
    await pass(kernel, 16_000);
    expect(server.inbox.text).toBe('heard');
    expectError(await client.inbox.closed(), 'unavailable', 'CONNECTION_LOST');
  });

  test('an idle connection outlives a partition that nobody sends in', async () => {
    const { kernel, client, server } = await connected();
    kernel.network.block(client.node, server.node);
    kernel.network.block(server.node, client.node);
    await pass(kernel, 60_000);
    kernel.network.healAll();
    client.connection.send(text('still here'));
    await pass(kernel, 100);
    expect(server.inbox.text).toBe('still here');
  });

  test('connecting takes no longer than it may', async () => {
    const { kernel, client, server } = await connected();
    const { sockets } = client.node.incarnation!.doors;
    for (const [from, to] of [
      [client.node, server.node],
      [server.node, client.node],
    ] as const) {
      kernel.network.block(from, to);
      const startUs = kernel.nowUs;
      const connecting = expectRefusal(sockets.connect(ADDRESS, never), 'unavailable', 'CONNECTION_FAILED');
      await kernel.perform(() => connecting);
      expect((kernel.nowUs - startUs) / 1000).toBe(10_000);
      kernel.network.healAll();
    }
    await kernel.perform(() => sockets.connect(ADDRESS, never));
  });
});

describe('lost connections', () => {
  test('a reset reaches both sides, and may lose what is on the way', async () => {
    const received = new Set<number>();
    for (let seed = 1; seed <= 30; seed++) {
      const { kernel, client, server } = await connected(seed);
      for (let index = 0; index < 10; index++) client.connection.send(text('x'));
      await pass(kernel, 0.1);
      kernel.network.breakConnections(client.node, server.node);
      await pass(kernel, 1000);
      expectError(await client.inbox.closed(), 'unavailable', 'CONNECTION_LOST');
      expectError(await server.inbox.closed(), 'unavailable', 'CONNECTION_LOST');
      received.add(server.inbox.lengthBytes);
    }
    expect(received.size).toBeGreaterThan(2);
  });

  test('the peers of a killed process hear of it soon, those of a dead machine late', async () => {
    for (const kind of ['kill', 'power'] as const) {
      const { kernel, client, server } = await connected();
      kernel.network.settings.keepaliveMs = 60_000;
      server.node.crash({ kind });
      await pass(kernel, 100);
      expect(client.inbox.hasEnded).toBe(kind === 'kill');
      expect(client.connection.isClosed).toBe(false);
      client.connection.send(text('is anybody there?'));
      await pass(kernel, 100);
      expect(client.connection.isClosed).toBe(kind === 'kill');
      await pass(kernel, 60_000);
      expectError(await client.inbox.closed(), 'unavailable', 'CONNECTION_LOST');
    }
  });

  test('what had left a process before it was killed still arrives', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { kernel, client, server } = await connected(seed);
      for (let index = 0; index < 10; index++) client.connection.send(text('x'));
      await pass(kernel, 0.001);
      const leftBytes = 10 - client.connection.unsentBytes;
      client.node.crash({ kind: 'kill' });
      await pass(kernel, 1000);
      expect(server.inbox.lengthBytes).toBe(leftBytes);
      expect(server.inbox.hasEnded).toBe(true);
    }
  });

  test('a machine that is off does not even refuse, and one without the process does', async () => {
    const { kernel, client, server } = await connected();
    const { sockets } = client.node.incarnation!.doors;
    for (const kind of ['kill', 'power'] as const) {
      if (!server.node.isAlive) server.node.start(() => undefined);
      server.node.crash({ kind });
      const startUs = kernel.nowUs;
      await kernel.perform(() =>
        expectRefusal(sockets.connect(ADDRESS, never), 'unavailable', 'CONNECTION_FAILED'),
      );
      expect(kernel.nowUs - startUs >= 10_000_000).toBe(kind === 'power');
    }
    await expectRefusal(
      sockets.connect({ host: 'nowhere', port: 1 }, never),
      'unavailable',
      'CONNECTION_FAILED',
    );
    const elsewhere = sockets.listen({ host: 'server', port: 1 }, (connection) => connection.close());
    await expectRefusal(elsewhere, 'bad-request', 'BAD_ADDRESS');
  });
});

describe('streams', () => {
  test('a sender is held back by a paused receiver, beyond a window', async () => {
    const { kernel, client, server } = await connected();
    server.connection.pause();
    let sent = 0;
    for (let index = 0; index < 10; index++) {
      client.connection.send(new Uint8Array(100_000).fill(index), () => sent++);
    }
    await pass(kernel, 1000);
    expect(client.connection.unsentBytes).toBe(1_000_000 - 256 * 1024);
    expect(sent).toBe(2);
    let isDrained = false;
    const drained = client.connection.drained(10_000).then(() => {
      isDrained = true;
    });
    await pass(kernel, 1000);
    expect(isDrained).toBe(false);
    server.connection.resume();
    await kernel.perform(() => drained);
    expect(client.connection.unsentBytes).toBeLessThanOrEqual(10_000);
    await pass(kernel, 1000);
    expect([sent, client.connection.unsentBytes, server.inbox.lengthBytes]).toEqual([10, 0, 1_000_000]);
  });

  test('chunks are cut and joined, and the bytes stay in order', async () => {
    const { kernel, client, server } = await connected();
    kernel.network.settings.cutChance = 0.3;
    kernel.network.settings.joinChance = 0.3;
    for (let index = 0; index < 2000; index++) {
      client.connection.send(Uint8Array.of(index & 255, index >> 8, 3, 4));
      if (index % 10 === 0) await pass(kernel, 0.5);
    }
    await pass(kernel, 1000);
    const bytes = Buffer.concat(server.inbox.chunks);
    for (let index = 0; index < 2000; index++) expect(bytes.readUInt16LE(index * 4)).toBe(index);
    const lengths = server.inbox.chunks.map((chunk) => chunk.length);
    expect(lengths.some((length) => length < 4)).toBe(true);
    expect(lengths.some((length) => length > 4)).toBe(true);
  });

  test('two connections overtake each other', async () => {
    const { kernel, client, server } = await connected();
    const other = await kernel.perform(() => client.node.incarnation!.doors.sockets.connect(ADDRESS, never));
    const otherInbox = new Inbox();
    const otherServer = [...server.node.incarnation!.connections].find(
      (connection) => connection !== server.connection,
    )!;
    otherServer.receive(otherInbox);
    const firsts = new Set<string>();
    for (let round = 1; round <= 50; round++) {
      client.connection.send(text('x'));
      other.send(text('x'));
      const isHere = (inbox: Inbox): boolean => inbox.lengthBytes === round;
      await kernel.run({ until: () => isHere(server.inbox) || isHere(otherInbox) });
      firsts.add(isHere(server.inbox) ? 'first' : 'second');
      await pass(kernel, 100);
    }
    expect(firsts.size).toBe(2);
  });

  test('there is no secure channel', async () => {
    const { client, server } = await connected();
    const identity = { certificate: '', privateKey: '' };
    await expectRefusal(server.connection.secureAsServer(identity), 'bad-request', 'TLS_FAILED');
    await expectRefusal(
      client.connection.secureAsClient({ serverName: 'server' }),
      'bad-request',
      'TLS_FAILED',
    );
  });
});
