import { describe, expect, test } from 'vitest';
import type { Http, HttpHandler } from '../../src/io/http.ts';
import type { ServerIdentity, ServerTrust } from '../../src/io/sockets.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import { expectRefusal, type World } from './world.ts';

export interface HttpWorld extends World {
  readonly http: Http;
  /** A host that this side can serve on and send requests to. */
  readonly host: string;
}

const SERVER_NAME = 'safekeeper.example';
const identity = makeSelfSigned([SERVER_NAME]);
const trust = { authorities: identity.certificate, serverName: SERVER_NAME };

/** A server for one test, and how to send requests to it. */
interface Site extends AsyncDisposable {
  readonly http: Http;
  readonly origin: string;
  send(path: string, options?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

async function serve(
  { http, host }: HttpWorld,
  handler: HttpHandler,
  secure?: { identity: ServerIdentity; trust: ServerTrust },
): Promise<Site> {
  const listener = await http.serve({
    host,
    port: 0,
    handler,
    ...(secure === undefined ? {} : { identity: secure.identity }),
  });
  const { address } = listener;
  if (!('port' in address)) throw new Error('no port');
  const origin = `${secure === undefined ? 'http' : 'https'}://${host}:${address.port}`;
  return {
    http,
    origin,
    send: (path, options) => http.request(new Request(origin + path, options), secure?.trust),
    close: () => listener.close(),
    [Symbol.asyncDispose]: () => listener.close(),
  };
}

const ok: HttpHandler = async () => new Response('ok');

/** A body that is made piece by piece, as it is wanted. */
function pieces(count: number, lengthBytes: number, onPiece?: (index: number) => void): ReadableStream {
  let index = 0;
  return new ReadableStream(
    {
      pull(controller) {
        onPiece?.(index);
        if (index === count) return controller.close();
        controller.enqueue(new Uint8Array(lengthBytes).fill(index++));
      },
    },
    { highWaterMark: 0 },
  );
}

async function lengthOf(body: ReadableStream<Uint8Array> | null): Promise<number> {
  let lengthBytes = 0;
  for await (const chunk of body ?? []) lengthBytes += chunk.length;
  return lengthBytes;
}

/** What every side of the HTTP door does. */
export function describeHttp(name: string, makeWorld: () => Promise<HttpWorld>): void {
  const check = (title: string, body: (world: HttpWorld) => Promise<void>): void => {
    test(title, async () => {
      await using world = await makeWorld();
      await world.run(() => body(world));
    });
  };
  describe(`${name}: http`, () => {
    checkMessages(check);
    checkBodies(check);
    checkEnds(check);
    checkSecurity(check);
  });
}

type Check = (title: string, body: (world: HttpWorld) => Promise<void>) => void;

function checkMessages(check: Check): void {
  check('a request arrives as it was sent, and so does the answer', async (world) => {
    await using site = await serve(world, async (request, peer) => {
      const { pathname, searchParams } = new URL(request.url);
      const seen = [
        request.method,
        pathname,
        searchParams.get('a'),
        request.headers.get('x-a'),
        await request.text(),
      ];
      return Response.json([...seen, peer !== ''], { status: 201, headers: { 'x-b': 'answer' } });
    });
    const response = await site.send('/v1/tenant%20x?a=1%262', {
      method: 'PUT',
      headers: { 'X-A': 'question' },
      body: 'content',
    });
    expect([response.status, response.headers.get('x-b')]).toEqual([201, 'answer']);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toEqual(['PUT', '/v1/tenant%20x', '1&2', 'question', 'content', true]);
  });

  check('each method, with and without bodies', async (world) => {
    await using site = await serve(world, async (request) => {
      return new Response(`${request.method} ${await request.text()}`);
    });
    expect(await (await site.send('/')).text()).toBe('GET ');
    expect(await (await site.send('/', { method: 'DELETE' })).text()).toBe('DELETE ');
    expect(await (await site.send('/', { method: 'POST', body: 'x' })).text()).toBe('POST x');
    const head = await site.send('/', { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  check('whatever the status is, it is an answer', async (world) => {
    await using site = await serve(world, async (request) => {
      const status = Number(new URL(request.url).pathname.slice(1));
      const body = status === 204 || status === 304 ? null : `${status}`;
      return new Response(body, { status, headers: { location: '/200' } });
    });
    for (const status of [200, 204, 301, 304, 307, 404, 409, 500, 503]) {
      const response = await site.send(`/${status}`);
      expect(response.status).toBe(status);
      expect(await response.text()).toBe(status === 204 || status === 304 ? '' : `${status}`);
    }
  });

  check('many requests at once', async (world) => {
    await using site = await serve(world, async (request) => new Response(new URL(request.url).pathname));
    const paths = Array.from({ length: 30 }, (_, index) => `/${index}`);
    const answers = await Promise.all(paths.map(async (path) => (await site.send(path)).text()));
    expect(answers).toEqual(paths);
  });

  check('a handler that throws is a 500, and says nothing of why', async (world) => {
    await using site = await serve(world, async (request) => {
      if (request.url.endsWith('/bug')) throw new Error('secret');
      return new Response('ok');
    });
    const response = await site.send('/bug');
    expect([response.status, await response.text()]).toEqual([500, '']);
    expect(await (await site.send('/')).text()).toBe('ok');
  });
}

function checkBodies(check: Check): void {
  check('megabytes in both directions', async (world) => {
    await using site = await serve(world, async (request) => new Response(request.body));
    const body = pieces(100, 50_000);
    const response = await site.send('/', { method: 'POST', body, duplex: 'half' });
    let at = 0;
    for await (const chunk of response.body ?? []) {
      for (const value of chunk as Uint8Array) {
        if (value !== Math.floor(at++ / 50_000)) throw new Error(`byte ${at - 1} is ${value}`);
      }
    }
    expect(at).toBe(5_000_000);
  });

  check('an answer begins before it is whole', async (world) => {
    const { promise: mayEnd, resolve: letEnd } = Promise.withResolvers<void>();
    await using site = await serve(world, async () => {
      const stream = new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode('first'));
          await mayEnd;
          controller.enqueue(new TextEncoder().encode(' last'));
          controller.close();
        },
      });
      return new Response(stream);
    });
    const response = await site.send('/');
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('first');
    letEnd();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(' last');
    expect((await reader.read()).done).toBe(true);
  });

  check('an answer that nobody reads is not made', async (world) => {
    let made = 0;
    await using site = await serve(world, async () => {
      return new Response(
        pieces(1000, 100_000, (index) => {
          made = index;
        }),
      );
    });
    const response = await site.send('/');
    const reader = response.body!.getReader();
    await reader.read();
    expect(made).toBeLessThan(900);
    await reader.cancel();
  });

  check('a handler may refuse a body that it has not read', async (world) => {
    await using site = await serve(world, async (request) => {
      const reader = request.body!.getReader();
      await reader.read();
      await reader.cancel();
      return new Response('too large', { status: 413 });
    });
    const response = await site.send('/', { method: 'POST', body: new Uint8Array(200_000) });
    expect([response.status, await response.text()]).toEqual([413, 'too large']);
  });

  check('a body of a request that fails fails the request', async (world) => {
    let seen: unknown;
    const { promise: served, resolve } = Promise.withResolvers<void>();
    await using site = await serve(world, async (request) => {
      seen = await lengthOf(request.body).catch((error: unknown) => error);
      resolve();
      return new Response();
    });
    const failure = new Error('the source is gone');
    const body = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(10));
        controller.error(failure);
      },
    });
    await expect(site.send('/', { method: 'POST', body, duplex: 'half' })).rejects.toBe(failure);
    // The server may never have heard of the request.
    await Promise.race([served, site.close()]);
    if (seen !== undefined) expect(seen).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  check('an answer whose body fails is not mistaken for a whole one', async (world) => {
    const { promise: mayFail, resolve: letFail } = Promise.withResolvers<void>();
    await using site = await serve(world, async () => {
      const body = new ReadableStream({
        async start(controller) {
          controller.enqueue(new Uint8Array(10));
          await mayFail;
          throw new Error('the source is gone');
        },
      });
      return new Response(body);
    });
    const response = await site.send('/');
    const reader = response.body!.getReader();
    expect((await reader.read()).value).toHaveLength(10);
    letFail();
    await expectRefusal(reader.read(), 'unavailable', 'CONNECTION_LOST');
  });
}

function checkEnds(check: Check): void {
  check('nobody serves there', async (world) => {
    const site = await serve(world, ok);
    await site.close();
    await site.close();
    await expectRefusal(site.send('/'), 'unavailable', 'CONNECTION_FAILED');
  });

  check('an address that is taken is refused', async (world) => {
    await using site = await serve(world, ok);
    const port = Number(new URL(site.origin).port);
    const options = { host: world.host, port, handler: ok };
    await expectRefusal(world.http.serve(options), 'conflict', 'ADDRESS_IN_USE');
  });

  check('closing waits for the requests under way', async (world) => {
    const { promise: mayAnswer, resolve: letAnswer } = Promise.withResolvers<void>();
    const { promise: asked, resolve: noteAsked } = Promise.withResolvers<void>();
    const site = await serve(world, async () => {
      noteAsked();
      await mayAnswer;
      return new Response('at last');
    });
    const sending = site.send('/');
    await asked;
    let isClosed = false;
    const closing = site.close().then(() => {
      isClosed = true;
    });
    await expectRefusal(site.send('/'), 'unavailable', 'CONNECTION_FAILED');
    expect(isClosed).toBe(false);
    letAnswer();
    expect(await (await sending).text()).toBe('at last');
    await closing;
  });

  check('who gives up is cancelled, and the handler learns of it', async (world) => {
    const { promise: asked, resolve: noteAsked } = Promise.withResolvers<void>();
    const { promise: aborted, resolve: noteAborted } = Promise.withResolvers<void>();
    await using site = await serve(world, async (request) => {
      request.signal.addEventListener('abort', () => noteAborted());
      noteAsked();
      await aborted;
      return new Response('nobody reads this');
    });
    const controller = new AbortController();
    const sending = site.send('/', { signal: controller.signal });
    await asked;
    controller.abort();
    await expectRefusal(sending, 'cancelled', 'CANCELLED');
    await aborted;
    await expectRefusal(site.send('/', { signal: AbortSignal.abort() }), 'cancelled', 'CANCELLED');
  });

  check('who gives up in the middle of the answer', async (world) => {
    const { promise: aborted, resolve: noteAborted } = Promise.withResolvers<void>();
    await using site = await serve(world, async (request) => {
      request.signal.addEventListener('abort', () => noteAborted());
      return new Response(pieces(1_000_000, 1000));
    });
    const controller = new AbortController();
    const response = await site.send('/', { signal: controller.signal });
    const reader = response.body!.getReader();
    await reader.read();
    controller.abort();
    const rest = (async () => {
      while (!(await reader.read()).done);
    })();
    await expectRefusal(rest, 'cancelled', 'CANCELLED');
    await aborted;
  });
}

function checkSecurity(check: Check): void {
  check('HTTPS with an authority of its own', async (world) => {
    await using site = await serve(world, async (request) => new Response(request.url), { identity, trust });
    const response = await site.send('/path', { method: 'POST', body: 'secret' });
    expect(await response.text()).toBe(`${site.origin}/path`);
  });

  check('a server that nobody vouches for is not trusted, or one of another name', async (world) => {
    const stranger = makeSelfSigned([SERVER_NAME]);
    const asked: string[] = [];
    const handler: HttpHandler = async (request) => {
      asked.push(request.url);
      return new Response();
    };
    await using site = await serve(world, handler, { identity, trust });
    const send = (wrong?: ServerTrust): Promise<Response> =>
      world.http.request(new Request(`${site.origin}/`, { method: 'POST', body: 'secret' }), wrong);
    for (const wrong of [
      undefined,
      { serverName: SERVER_NAME },
      { ...trust, authorities: stranger.certificate },
      { ...trust, serverName: 'other.example' },
    ]) {
      await expectRefusal(send(wrong), 'bad-request', 'TLS_FAILED');
    }
    expect(asked).toEqual([]);
  });

  check('nothing goes out in the clear where trust is asked for', async (world) => {
    await using site = await serve(world, ok);
    const plain = world.http.request(new Request(`${site.origin}/`), trust);
    await expectRefusal(plain, 'bad-request', 'BAD_ADDRESS');
  });
}
