import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { describeHttp } from '../../../test/conformance/http.ts';
import { runForReal } from '../../../test/conformance/world.ts';
import { nodeHttp } from './http.ts';

const PIECE_BYTES = 65_536;
/** 64 MiB in all. */
const LONG_PIECES = 1024;
const reported: unknown[] = [];
const http = nodeHttp((error) => reported.push(error));

describeHttp('Node.js', async () => ({
  http,
  host: '127.0.0.1',
  run: runForReal,
  [Symbol.asyncDispose]: async () => undefined,
}));

async function talk(text: string, stopAt: (answer: string) => boolean): Promise<string> {
  await using listener = await http.serve({
    host: '127.0.0.1',
    port: 0,
    handler: async (request) => new Response(request.url),
  });
  const socket: Socket = connect({ ...listener.address });
  let answer = '';
  socket.setEncoding('utf8').on('data', (data: string) => {
    answer += data;
    if (stopAt(answer)) socket.destroy();
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

test.each([
  ['a host that would change the path', 'GET /a HTTP/1.1\r\nHost: a/b?c=\r\n\r\n'],
  ['a URL of a proxy', 'GET http://other/a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a method that the Fetch standard forbids', 'TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no HTTP', 'hello\r\n\r\n'],
])('%s is refused', async (_what, text) => {
  expect(await talk(text, () => false)).toMatch(/^HTTP\/1\.1 400 /);
});

test('a URL that looks like another host stays a path', async () => {
  const answer = await talk('GET //other/a HTTP/1.1\r\nHost: a:1\r\n\r\n', (text) =>
    text.endsWith('0\r\n\r\n'),
  );
  expect(answer).toContain('http://a:1//other/a');
});

test('a connection that says nothing does not hold up closing', async () => {
  const listener = await http.serve({ host: '127.0.0.1', port: 0, handler: async () => new Response('ok') });
  const socket = connect(listener.address as { host: string; port: number });
  await once(socket, 'connect');
  // Once the server answers somebody else, it has accepted this one as well.
  const { port } = listener.address as { port: number };
  await (await http.request(new Request(`http://127.0.0.1:${port}/`))).text();
  socket.resume();
  await Promise.all([once(socket, 'close'), listener.close()]);
});

test('what a handler throws is reported', async () => {
  const bug = new Error('a bug');
  await using listener = await http.serve({
    host: '127.0.0.1',
    port: 0,
    handler: async () => {
      throw bug;
    },
  });
  const { port } = listener.address as { port: number };
  expect((await http.request(new Request(`http://127.0.0.1:${port}/`))).status).toBe(500);
  expect(reported.at(-1)).toBe(bug);
});

test('a request that does not come to an end holds closing up for a moment only, and is told', async () => {
  const before = reported.length;
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const listener = await http.serve({
    host: '127.0.0.1',
    port: 0,
    handler: async ({ signal }) => {
      const given = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      begun.resolve();
      await given;
      ended.resolve();
      return new Response('too late');
    },
  });
  const socket = connect(listener.address as { host: string; port: number });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await begun.promise;
  socket.resume();
  await Promise.all([once(socket, 'close'), listener.close(), ended.promise]);
  expect(reported.slice(before)).toEqual([]);
});

/** Answers at /long with more than fits into the sockets on the way, at /never not at all. */
async function serveLong() {
  const begun = Promise.withResolvers<void>();
  const listener = await http.serve({
    host: '127.0.0.1',
    port: 0,
    handler: async ({ url, signal }) => {
      if (url.endsWith('/never')) {
        begun.resolve();
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        return new Response(null);
      }
      let pieces = 0;
      return new Response(
        new ReadableStream({
          pull: (controller) => {
            if (pieces++ < LONG_PIECES) controller.enqueue(new Uint8Array(PIECE_BYTES));
            else controller.close();
          },
        }),
      );
    },
  });
  const ask = (path: string): Socket => {
    const socket = connect(listener.address as { host: string; port: number });
    socket.write(`GET ${path} HTTP/1.0\r\nHost: a\r\n\r\n`);
    return socket;
  };
  return { listener, ask, begun: begun.promise };
}

test('a client that is slow to take its answer gets it while the server closes, others are waited for less', async () => {
  const { listener, ask, begun } = await serveLong();
  const slow = ask('/long');
  await once(slow, 'readable');
  const never = ask('/never').resume();
  await begun;
  const closing = listener.close();
  await once(never, 'close');
  let receivedBytes = 0;
  for await (const chunk of slow) receivedBytes += (chunk as Uint8Array).length;
  expect(receivedBytes).toBeGreaterThan(LONG_PIECES * PIECE_BYTES);
  await closing;
});

test('a client that does not take its answer holds closing up for some seconds only', async () => {
  const { listener, ask } = await serveLong();
  // It is broken off.
  const stuck = ask('/long').on('error', () => undefined);
  await once(stuck, 'readable');
  await listener.close();
  stuck.resume();
  if (!stuck.closed) await once(stuck, 'close');
  expect(stuck.bytesRead).toBeLessThan(LONG_PIECES * PIECE_BYTES);
});
