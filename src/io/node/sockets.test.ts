import { getEventListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { connectPair, Inbox } from '../../../test/conformance/inbox.ts';
import { describeSockets } from '../../../test/conformance/sockets.ts';
import { runForReal } from '../../../test/conformance/world.ts';
import { makeSelfSigned } from '../../../test/support/certificates.ts';
import { run } from '../../../test/support/cluster-template.ts';
import { nodeSockets } from './sockets.ts';

const sockets = nodeSockets((error) => {
  throw error;
});

describeSockets('Node.js', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'varve-sockets-'));
  return {
    sockets,
    host: '127.0.0.1',
    directory,
    run: runForReal,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
});

const listenAddress = { host: '127.0.0.1', port: 0 };

test('a signal is let go when the connection is there, or cannot be', async () => {
  const { signal } = new AbortController();
  const listener = await sockets.listen(listenAddress, (connection) => connection.close());
  (await sockets.connect(listener.address, signal)).close();
  await listener.close();
  await expect(sockets.connect(listener.address, signal)).rejects.toThrow(/ECONNREFUSED/);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('what is sent in one turn after the first piece goes out together', async () => {
  await using pair = await connectPair(sockets, listenAddress);
  const inbox = new Inbox();
  pair.server.receive(inbox);
  let unsentAfterFirst = -1;
  const pieces = 50;
  for (let i = 0; i < pieces; i++) {
    pair.client.send(Uint8Array.of(i));
    if (i === 0) unsentAfterFirst = pair.client.unsentBytes;
  }
  // The first one is with the kernel already; the others wait for the end of the turn.
  expect([unsentAfterFirst, pair.client.unsentBytes]).toEqual([0, pieces - 1]);
  await inbox.bytes(pieces);
  expect(inbox.chunks.length).toBeLessThanOrEqual(2);
  expect(pair.client.unsentBytes).toBe(0);
});

test('the other side vanishes with a reset', async () => {
  await using pair = await connectPair(sockets, listenAddress);
  const inbox = new Inbox();
  pair.server.receive(inbox);
  // A side that goes with bytes that it has not read resets the connection.
  pair.server.send(new Uint8Array(1_000_000));
  await Promise.resolve();
  pair.client.close();
  expect(await inbox.closed()).toMatchObject({ kind: 'unavailable', code: 'CONNECTION_LOST' });
});

test.each(['127.0.0.1', 'localhost'])('a certificate may be for %s', async (serverName) => {
  await using pair = await connectPair(sockets, listenAddress);
  const identity = makeSelfSigned(['localhost', '127.0.0.1']);
  const trust = { authorities: identity.certificate, serverName };
  await Promise.all([pair.server.secureAsServer(identity), pair.client.secureAsClient(trust)]);
});

test('a certificate that has expired is not trusted', async () => {
  await using pair = await connectPair(sockets, listenAddress);
  const identity = makeSelfSigned(['localhost'], -1);
  const serving = pair.server.secureAsServer(identity);
  const trust = { authorities: identity.certificate, serverName: 'localhost' };
  await expect(pair.client.secureAsClient(trust)).rejects.toMatchObject({
    code: 'TLS_FAILED',
    cause: { code: 'CERT_HAS_EXPIRED' },
  });
  await Promise.allSettled([serving]);
});

test('where anyone is trusted, so is a certificate that has expired or is for another name', async () => {
  await using pair = await connectPair(sockets, listenAddress);
  const identity = makeSelfSigned(['localhost'], -1);
  const serving = pair.server.secureAsServer(identity);
  await pair.client.secureAsClient({ serverName: 'elsewhere', isAnyoneTrusted: true });
  await serving;
});

test('an identity that is none closes the connection', async () => {
  await using pair = await connectPair(sockets, listenAddress);
  const inbox = new Inbox();
  pair.server.receive(inbox);
  const securing = pair.server.secureAsServer({ certificate: 'none', privateKey: 'none' });
  await expect(securing).rejects.toMatchObject({ kind: 'bad-request', code: 'TLS_FAILED' });
  expect(await inbox.closed()).toMatchObject({ code: 'TLS_FAILED' });
});

test('who speaks no TLS is refused', async () => {
  await using pair = await connectPair(sockets, listenAddress);
  pair.client.receive(new Inbox());
  pair.client.send(new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'));
  const securing = pair.server.secureAsServer(makeSelfSigned(['localhost']));
  await expect(securing).rejects.toMatchObject({ kind: 'bad-request', code: 'TLS_FAILED' });
});

test('paths that can be no Unix sockets are refused', async () => {
  const path = `/tmp/${'x'.repeat(200)}`;
  const { signal } = new AbortController();
  await expect(sockets.listen({ path }, () => undefined)).rejects.toMatchObject({ code: 'BAD_ADDRESS' });
  await expect(sockets.connect({ path }, signal)).rejects.toMatchObject({ code: 'BAD_ADDRESS' });
});

test.each(['onBytes', 'onEnd', 'onClosed'])(
  'a receiver whose %s throws takes the process down',
  async (method) => {
    const module = JSON.stringify(fileURLToPath(new URL('sockets.ts', import.meta.url)));
    const program = `
    import { nodeSockets } from ${module};
    const sockets = nodeSockets(() => undefined);
    const listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      connection.receive({
        onBytes() {},
        onEnd() { connection.close(); },
        onClosed() {},
        ${method}() { throw new Error('a bug'); },
      });
    });
    const client = await sockets.connect(listener.address, new AbortController().signal);
    client.send(Uint8Array.of(1));
    client.end();`;
    const running = run(process.execPath, ['--input-type=module', '--eval', program]);
    await expect(running).rejects.toThrow(/ended with 1: [\s\S]*Error: a bug/);
  },
);

// The event loop's library accepts and closes such a connection itself, with a descriptor kept for that.
test('for want of descriptors a connection is lost, and the listener goes on', async () => {
  const module = JSON.stringify(fileURLToPath(new URL('sockets.ts', import.meta.url)));
  const program = `
    import { openSync, closeSync } from 'node:fs';
    import { nodeSockets } from ${module};
    const failures = [];
    const sockets = nodeSockets((error) => failures.push(error.code));
    let accepted = 0;
    const { promise, resolve } = Promise.withResolvers();
    const listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      connection.close();
      if (++accepted === 2) resolve();
    });
    const { signal } = new AbortController();
    const connect = () => sockets.connect(listener.address, signal);
    (await connect()).close();
    const taken = [];
    try { for (;;) taken.push(openSync('/dev/null')); } catch {}
    closeSync(taken.pop());
    const client = await connect();
    await new Promise((resolve) => {
      client.receive({ onBytes() {}, onEnd() { client.close(); }, onClosed: resolve });
    });
    for (const descriptor of taken) closeSync(descriptor);
    (await connect()).close();
    await promise;
    await listener.close();
    console.log(failures);`;
  const limit = ['--nofile=64', process.execPath, '--input-type=module', '--eval', program];
  expect(await run('prlimit', limit)).toBe('[]\n');
});
