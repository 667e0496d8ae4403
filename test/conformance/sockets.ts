import { describe, expect, test } from 'vitest';
import { AssertionError } from '../../src/base/errors.ts';
import type { Connection, SocketAddress, Sockets } from '../../src/io/sockets.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import { connectPair, Inbox, type Pair } from './inbox.ts';
import { expectError, expectRefusal, type World } from './world.ts';

export interface SocketsWorld extends World {
  readonly sockets: Sockets;
  /** A host that this side can listen on and connect to. */
  readonly host: string;
  /** A directory for Unix sockets. */
  readonly directory: string;
}

type Body = (world: SocketsWorld) => Promise<void>;
type Check = (title: string, body: Body) => void;

/** What every side of the sockets door does. */
export function describeSockets(
  name: string,
  makeWorld: () => Promise<SocketsWorld>,
  { withTls = true }: { readonly withTls?: boolean } = {},
): void {
  const check: Check = (title, body) => {
    test(title, async () => {
      await using world = await makeWorld();
      await world.run(() => body(world));
    });
  };
  describe(`${name}: sockets`, () => {
    checkConnecting(check);
    for (const kind of withTls ? (['tcp', 'unix', 'tls'] as const) : (['tcp', 'unix'] as const)) {
      describe(kind, () => {
        const checkPair = pairChecker(check, kind);
        checkSending(checkPair);
        checkReceiving(checkPair);
        checkClosing(checkPair);
      });
    }
    if (withTls) checkSecuring(pairChecker(check, 'tcp'));
  });
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const never = new AbortController().signal;

type PairBody = (pair: Pair, world: SocketsWorld) => Promise<void>;
type CheckPair = (title: string, body: PairBody) => void;

const SERVER_NAME = 'safekeeper.example';
const identity = makeSelfSigned([SERVER_NAME]);
const trust = { authorities: identity.certificate, serverName: SERVER_NAME };

function pairChecker(check: Check, kind: 'tcp' | 'unix' | 'tls'): CheckPair {
  return (title, body) => {
    check(title, async (world) => {
      const address: SocketAddress =
        kind === 'unix' ? { path: `${world.directory}/socket` } : { host: world.host, port: 0 };
      await using pair = await connectPair(world.sockets, address);
      if (kind === 'tls') await makeSecure(pair);
      await body(pair, world);
    });
  };
}

async function makeSecure({ client, server }: Pair): Promise<void> {
  await Promise.all([server.secureAsServer(identity), client.secureAsClient(trust)]);
}

function listenTo(connection: Connection): Inbox {
  const inbox = new Inbox();
  connection.receive(inbox);
  return inbox;
}

function checkConnecting(check: Check): void {
  const refuse = (connection: Connection): void => connection.close();

  check('nobody listens there, or not any more', async ({ sockets, host, directory }) => {
    const listener = await sockets.listen({ host, port: 0 }, refuse);
    await listener.close();
    await listener.close();
    await expectRefusal(sockets.connect(listener.address, never), 'unavailable', 'CONNECTION_FAILED');
    const path = { path: `${directory}/nobody` };
    await expectRefusal(sockets.connect(path, never), 'unavailable', 'CONNECTION_FAILED');
  });

  check('a free port is taken, and free again afterwards', async ({ sockets, host }) => {
    const first = await sockets.listen({ host, port: 0 }, refuse);
    const { address } = first;
    if (!('port' in address)) throw new Error('no port');
    expect(address.host).toBe(host);
    expect(address.port).toBeGreaterThan(0);
    await using second = await sockets.listen({ host, port: 0 }, refuse);
    expect(second.address).not.toEqual(address);
    await first.close();
    await using again = await sockets.listen(address, refuse);
    expect(again.address).toEqual(address);
  });

  check('an address that is taken is refused', async ({ sockets, host, directory }) => {
    for (const address of [{ host, port: 0 }, { path: `${directory}/taken` }]) {
      await using listener = await sockets.listen(address, refuse);
      await expectRefusal(sockets.listen(listener.address, refuse), 'conflict', 'ADDRESS_IN_USE');
    }
  });

  check('a Unix socket can be listened on again after it was closed', async ({ sockets, directory }) => {
    const address = { path: `${directory}/socket` };
    for (let i = 0; i < 2; i++) {
      await using pair = await connectPair(sockets, address);
      expect(pair.listener.address).toEqual(address);
      expect(pair.client.peer).toBe(address.path);
    }
  });

  check('no port beyond the last', async ({ sockets, host }) => {
    const address = { host, port: 65_536 };
    await expectRefusal(sockets.listen(address, refuse), 'bad-request', 'BAD_ADDRESS');
    await expectRefusal(sockets.connect(address, never), 'bad-request', 'BAD_ADDRESS');
  });

  check('whoever has given up gets no connection', async ({ sockets, host }) => {
    const accepted: Connection[] = [];
    await using listener = await sockets.listen({ host, port: 0 }, (connection) => {
      accepted.push(connection);
      connection.close();
    });
    await expectRefusal(sockets.connect(listener.address, AbortSignal.abort()), 'cancelled', 'CANCELLED');
    expect(accepted).toEqual([]);
    const controller = new AbortController();
    const connecting = sockets.connect(listener.address, controller.signal);
    controller.abort();
    await expectRefusal(connecting, 'cancelled', 'CANCELLED');
  });

  check('giving up later does nothing to the connection', async ({ sockets, host }) => {
    await using listener = await sockets.listen({ host, port: 0 }, (connection) => {
      connection.send(text('hello'));
      connection.end();
    });
    const controller = new AbortController();
    const client = await sockets.connect(listener.address, controller.signal);
    controller.abort();
    const inbox = listenTo(client);
    await inbox.ended();
    expect([inbox.text, client.isClosed]).toEqual(['hello', false]);
    client.end();
    expect(await inbox.closed()).toBeUndefined();
  });

  check('connections outlive their listener', async ({ sockets, host }) => {
    await using pair = await connectPair(sockets, { host, port: 0 });
    await pair.listener.close();
    pair.client.send(text('still here'));
    expect(await listenTo(pair.server).textOf(10)).toBe('still here');
  });

  check('each connection is its own', async ({ sockets, host }) => {
    const servers: Connection[] = [];
    await using listener = await sockets.listen({ host, port: 0 }, (connection) => {
      servers.push(connection);
      connection.receive({
        onBytes: (chunk) => connection.send(chunk),
        onEnd: () => connection.end(),
        onClosed: () => undefined,
      });
    });
    const talk = async (index: number): Promise<void> => {
      const client = await sockets.connect(listener.address, never);
      const inbox = listenTo(client);
      client.send(text(`client ${index}`));
      client.end();
      await inbox.closed();
      expect(inbox.text).toBe(`client ${index}`);
    };
    await Promise.all(Array.from({ length: 10 }, (_, index) => talk(index)));
    expect(new Set(servers.map(({ peer }) => peer)).size).toBe(10);
  });
}

function checkSending(check: CheckPair): void {
  check('bytes go both ways, in order', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    client.send(text('one '));
    client.send(text('two '));
    server.send(text('three'));
    expect(await atServer.textOf(8)).toBe('one two ');
    expect(await atClient.textOf(5)).toBe('three');
    client.send(text('four'));
    expect(await atServer.textOf(12)).toBe('one two four');
  });

  check('nothing may be sent, and nothing arrives', async ({ client, server }) => {
    const inbox = listenTo(server);
    let sent = 0;
    const count = (): void => {
      sent++;
    };
    client.send(new Uint8Array(0), count);
    client.send(text('x'), count);
    client.send(new Uint8Array(0), count);
    expect(await inbox.textOf(1)).toBe('x');
    await client.drained(0);
    client.end();
    await inbox.ended();
    expect([inbox.lengthBytes, sent]).toEqual([1, 3]);
  });

  check('bytes belong to the sender again when they were sent', async ({ client, server }) => {
    const inbox = listenTo(server);
    const bytes = new Uint8Array(100_000);
    for (let value = 1; value <= 20; value++) {
      bytes.fill(value);
      await new Promise<void>((resolve) => client.send(bytes, resolve));
    }
    const received = await inbox.bytes(2_000_000);
    for (let i = 0; i < 2_000_000; i++) {
      if (received[i] !== Math.floor(i / 100_000) + 1) throw new Error(`byte ${i} is ${received[i]}`);
    }
  });

  check('a slow receiver is waited for, and megabytes arrive whole', async ({ client, server }) => {
    const piece = Uint8Array.from({ length: 65_536 }, (_, index) => index % 251);
    let sentBytes = 0;
    // Nobody receives: the network takes some, the rest stays here.
    while (client.unsentBytes < 1_000_000) {
      client.send(piece);
      sentBytes += piece.length;
      if (sentBytes % (16 * piece.length) === 0) await Promise.race([client.drained(0), immediately()]);
    }
    let isDrained = false;
    const drained = client.drained(100_000).then(() => {
      isDrained = true;
    });
    await immediately();
    expect(isDrained).toBe(false);
    const inbox = listenTo(server);
    await drained;
    expect(client.unsentBytes).toBeLessThanOrEqual(100_000);
    client.end();
    await inbox.ended();
    expect(inbox.lengthBytes).toBe(sentBytes);
    const received = Buffer.concat(inbox.chunks);
    for (let at = 0; at < sentBytes; at += piece.length) {
      expect(Buffer.compare(received.subarray(at, at + piece.length), piece)).toBe(0);
    }
    expect(client.unsentBytes).toBe(0);
  });

  check('drained without anything unsent, and again on a closed connection', async ({ client }) => {
    await client.drained(0);
    client.close();
    await client.drained(0);
    expect(client.unsentBytes).toBe(0);
  });

  check('who waits for draining is let go when the connection closes', async ({ client }) => {
    const piece = new Uint8Array(1_000_000);
    let lateCalls = 0;
    for (let i = 0; i < 20; i++) client.send(piece);
    client.send(piece, () => {
      lateCalls++;
    });
    const drained = client.drained(0);
    client.close();
    await drained;
    client.send(piece, () => {
      lateCalls++;
    });
    await immediately();
    expect([client.unsentBytes, lateCalls]).toEqual([0, 0]);
  });
}

/** A few turns of microtasks: enough for what needs no event from outside. */
async function immediately(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

function checkReceiving(check: CheckPair): void {
  check('nothing is lost before somebody receives', async ({ client, server }) => {
    client.send(text('early '));
    const atClient = listenTo(client);
    server.send(text('x'));
    await atClient.bytes(1);
    client.send(text('late'));
    expect(await listenTo(server).textOf(10)).toBe('early late');
  });

  check('another receiver takes over between two bytes', async ({ client, server }) => {
    const second = new Inbox();
    const first: Uint8Array[] = [];
    server.receive({
      onBytes(chunk) {
        first.push(chunk);
        server.receive(second);
      },
      onEnd: () => expect.unreachable('the second receiver is told'),
      onClosed: () => expect.unreachable('the second receiver is told'),
    });
    client.send(text('one'));
    const atClient = listenTo(client);
    server.send(text('x'));
    await atClient.bytes(1);
    await second.bytes(0);
    client.send(new Uint8Array(200_000).fill(7));
    client.end();
    await second.ended();
    expect(first).toHaveLength(1);
    expect(second.lengthBytes + first[0]!.length).toBe(200_003);
    server.end();
    expect(await second.closed()).toBeUndefined();
  });

  check('a paused receiver gets nothing until it resumes', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    server.pause();
    client.send(text('held back'));
    client.end();
    // What the server sends meanwhile arrives: the pause is of one direction.
    server.send(text('x'));
    await atClient.bytes(1);
    expect([atServer.lengthBytes, atServer.hasEnded]).toEqual([0, false]);
    server.resume();
    await atServer.ended();
    expect(atServer.text).toBe('held back');
  });

  check('an end without bytes is held back by a pause as well', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    server.pause();
    client.end();
    for (let round = 1; round <= 5; round++) {
      server.send(text('x'));
      await atClient.bytes(round);
    }
    expect(atServer.hasEnded).toBe(false);
    const second = listenTo(server);
    server.resume();
    await second.ended();
    expect([second.hasEnded, atServer.hasEnded]).toEqual([true, false]);
  });

  check('a pause within a call holds from the next chunk on', async ({ client, server }) => {
    const inbox = new Inbox();
    let isPaused = false;
    let chunks = 0;
    server.receive({
      onBytes(chunk) {
        expect(isPaused).toBe(false);
        chunks++;
        isPaused = true;
        server.pause();
        inbox.onBytes(chunk);
        void Promise.resolve().then(() => {
          isPaused = false;
          server.resume();
        });
      },
      onEnd: () => inbox.onEnd(),
      onClosed: (error) => inbox.onClosed(error),
    });
    client.send(new Uint8Array(1_000_000).fill(3));
    client.end();
    await inbox.ended();
    expect(inbox.lengthBytes).toBe(1_000_000);
    expect(chunks).toBeGreaterThan(1);
  });

  check('a pause outlasts a change of receivers', async ({ client, server }) => {
    server.pause();
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    client.send(text('held back'));
    server.send(text('x'));
    await atClient.bytes(1);
    expect(atServer.lengthBytes).toBe(0);
    server.resume();
    expect(await atServer.textOf(9)).toBe('held back');
  });

  check('a receiver owns its chunks, which are plain arrays', async ({ client, server }) => {
    const inbox = listenTo(server);
    client.send(text('first'));
    await inbox.bytes(5);
    const chunk = inbox.chunks[0]!;
    expect(Object.getPrototypeOf(chunk)).toBe(Uint8Array.prototype);
    const copy = chunk.slice();
    client.send(new Uint8Array(300_000).fill(255));
    await inbox.bytes(300_005);
    expect(chunk).toEqual(copy);
    chunk.fill(0);
    expect(inbox.chunks.at(-1)!.every((value) => value === 255)).toBe(true);
  });

  check('no receiver is called within a call to the connection', async ({ client, server }) => {
    const inbox = new Inbox();
    const atClient = listenTo(client);
    const silently = (call: () => void): void => {
      inbox.mustBeSilent = true;
      call();
      inbox.mustBeSilent = false;
    };
    client.send(text('waiting already'));
    client.end();
    server.send(text('x'));
    await atClient.bytes(1);
    silently(() => server.receive(inbox));
    silently(() => server.pause());
    silently(() => server.resume());
    silently(() => server.send(text('y')));
    await inbox.ended();
    silently(() => server.resume());
    silently(() => server.end());
    silently(() => server.close());
    await inbox.closed();
    silently(() => server.receive(inbox));
    silently(() => server.close());
    expect(inbox.text).toBe('waiting already');
  });
}

function checkClosing(check: CheckPair): void {
  check('each side ends on its own, and then it is over', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    client.send(text('question'));
    client.end();
    client.end();
    await atServer.ended();
    expect(atServer.text).toBe('question');
    expect([server.isClosed, client.isClosed]).toEqual([false, false]);
    server.send(text('answer'));
    expect(await atClient.textOf(6)).toBe('answer');
    server.end();
    expect(await atServer.closed()).toBeUndefined();
    expect(await atClient.closed()).toBeUndefined();
    expect([atClient.hasEnded, atServer.hasEnded]).toEqual([true, true]);
    expect([server.isClosed, client.isClosed]).toEqual([true, true]);
  });

  check('what is unsent goes out before the end', async ({ client, server }) => {
    client.send(new Uint8Array(5_000_000).fill(1));
    client.end();
    const inbox = listenTo(server);
    await inbox.ended();
    expect(inbox.lengthBytes).toBe(5_000_000);
  });

  check('sending after the end is a bug', async ({ client }) => {
    client.end();
    expect(() => client.send(text('x'))).toThrow(AssertionError);
  });

  check('closing is at once, and no error', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    client.close();
    expect(client.isClosed).toBe(true);
    client.send(text('x'));
    client.end();
    client.close();
    expect(await atClient.closed()).toBeUndefined();
    expect(atClient.hasEnded).toBe(false);
    await atServer.ended();
    server.end();
    await atServer.closed();
    expect(atServer.lengthBytes).toBe(0);
  });

  check('who sends to a closed connection learns that it is lost', async ({ client, server }) => {
    const atServer = listenTo(server);
    client.close();
    while (!server.isClosed) {
      server.send(new Uint8Array(100_000));
      await server.drained(0);
    }
    const error = await atServer.closed();
    // Where the other side's end came before anything was sent, both have ended in order.
    if (error !== undefined) expectError(error, 'unavailable', 'CONNECTION_LOST');
    else expect(atServer.hasEnded).toBe(true);
  });

  check('a receiver that comes too late is told', async ({ client }) => {
    listenTo(client);
    client.close();
    const inbox = listenTo(client);
    expect(await inbox.closed()).toBeUndefined();
    const last = listenTo(client);
    expect(await last.closed()).toBeUndefined();
  });
}

function checkSecuring(check: CheckPair): void {
  check('the channel becomes secure in the middle of a conversation', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    client.send(text('secure?'));
    expect(await atServer.textOf(7)).toBe('secure?');
    server.send(text('S'));
    const securing = server.secureAsServer(identity);
    expect(await atClient.textOf(1)).toBe('S');
    await Promise.all([client.secureAsClient(trust), securing]);
    client.send(text(' secret'));
    server.send(text('ecret'));
    expect(await atServer.textOf(14)).toBe('secure? secret');
    expect(await atClient.textOf(6)).toBe('Secret');
  });

  check('bytes of the handshake that were received already count', async ({ client, server }) => {
    const atClient = listenTo(client);
    const hello = new Promise<Uint8Array>((resolve) => {
      server.receive({
        onBytes(chunk) {
          server.pause();
          resolve(chunk);
        },
        onEnd: () => undefined,
        onClosed: () => undefined,
      });
    });
    const securing = client.secureAsClient(trust);
    await server.secureAsServer(identity, await hello);
    await securing;
    const atServer = listenTo(server);
    server.resume();
    client.send(text('secret'));
    expect(await atServer.textOf(6)).toBe('secret');
    server.send(text('too'));
    expect(await atClient.textOf(3)).toBe('too');
  });

  check('a certificate that nobody vouches for is not trusted', async (pair) => {
    const stranger = makeSelfSigned([SERVER_NAME]);
    await expectDistrust(pair, { authorities: stranger.certificate, serverName: SERVER_NAME });
  });

  check('a certificate for another name is not trusted', async (pair) => {
    await expectDistrust(pair, { ...trust, serverName: 'other.example' });
  });

  check('a side that closes during the handshake', async ({ client, server }) => {
    const [atClient, atServer] = [listenTo(client), listenTo(server)];
    const securing = server.secureAsServer(identity);
    client.close();
    await expectRefusal(securing, 'unavailable', 'CONNECTION_LOST');
    expectError(await atServer.closed(), 'unavailable', 'CONNECTION_LOST');
    expect(await atClient.closed()).toBeUndefined();
  });

  check('this side closes during the handshake', async ({ client, server }) => {
    const inbox = listenTo(client);
    const securing = client.secureAsClient(trust);
    server.receive(new Inbox());
    client.close();
    await expectRefusal(securing, 'unavailable', 'CONNECTION_LOST');
    expect(await inbox.closed()).toBeUndefined();
  });
}

async function expectDistrust(
  { client, server }: Pair,
  distrust: { authorities: string; serverName: string },
): Promise<void> {
  const [atClient, atServer] = [listenTo(client), listenTo(server)];
  const serving = server.secureAsServer(identity).then(
    () => undefined,
    (error: unknown) => error,
  );
  await expectRefusal(client.secureAsClient(distrust), 'bad-request', 'TLS_FAILED');
  expectError(await atClient.closed(), 'bad-request', 'TLS_FAILED');
  expect(client.isClosed).toBe(true);
  await serving;
  // The server may see a failed handshake, or a channel that was secure for a moment.
  await atServer.ended();
  server.close();
  await atServer.closed();
  expect([atClient.lengthBytes, atServer.lengthBytes]).toEqual([0, 0]);
}
