import { expect, test } from 'vitest';
import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import { nodeClock } from '../io/node/clock.ts';
import { HttpClient } from './http-client.ts';

const schema = z.object({ id: z.int() });

/** A client of a service that answers so. */
function clientOf(answer: (request: Request) => Promise<Response>, timeoutMs = 10_000): HttpClient {
  const http = { serve: () => Promise.reject(new Error('not served')), request: answer };
  return new HttpClient({ http, clock: nodeClock, baseUrl: 'http://service:1', timeoutMs });
}

const { signal } = new AbortController();
const request = { method: 'GET', path: '/v1/thing', signal } as const;

/** As the door does: waits until the request's signal is given. */
const neverAnswer = (given: Request): Promise<Response> =>
  new Promise((_, reject) => {
    const refuse = () => reject(new VarveError('cancelled', 'CANCELLED', 'the signal was given'));
    if (given.signal.aborted) refuse();
    else given.signal.addEventListener('abort', refuse);
  });

test.each<[string, () => Response, object]>([
  ['no JSON', () => new Response('<html>'), { kind: 'corruption', code: 'BAD_ANSWER' }],
  ['nothing', () => new Response(null), { kind: 'corruption', code: 'BAD_ANSWER' }],
  [
    'another shape',
    () => new Response('{"id":"x"}'),
    { kind: 'corruption', code: 'BAD_ANSWER', reason: expect.stringContaining('/v1/thing is wrong: id:') },
  ],
  [
    "a proxy's page",
    () => new Response('<html>', { status: 504 }),
    { kind: 'unavailable', code: 'HTTP_504' },
  ],
  [
    "another program's error body",
    () => new Response('{"msg":"NotFound: no such thing"}', { status: 404 }),
    { kind: 'not-found', code: 'HTTP_404', reason: 'no such thing' },
  ],
  [
    'a hostile error body',
    () => new Response('{"msg":5,"kind":"assertion","code":"a b"}', { status: 409 }),
    { kind: 'conflict', code: 'HTTP_409', reason: 'the answer has the status 409' },
  ],
])('an answer of %s is told apart', async (_, answer, expected) => {
  await expect(clientOf(async () => answer()).getJson(request, schema)).rejects.toMatchObject(expected);
});

test('an answer without end is not kept', async () => {
  const pull = (controller: ReadableStreamDefaultController) => controller.enqueue(new Uint8Array(1 << 22));
  const client = clientOf(async () => new Response(new ReadableStream({ pull })));
  await expect(client.getJson(request, schema)).rejects.toMatchObject({ code: 'BAD_ANSWER' });
});

test('no answer in time is unavailable, and the request is ended', async () => {
  await expect(clientOf(neverAnswer, 1).getJson(request, schema)).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'REQUEST_TIMEOUT',
  });
});

test('a signal that is given ends the request as cancelled', async () => {
  const controller = new AbortController();
  const answer = clientOf(neverAnswer).getJson({ ...request, signal: controller.signal }, schema);
  controller.abort();
  await expect(answer).rejects.toMatchObject({ kind: 'cancelled' });
});

test('an error of the door is passed on', async () => {
  const lost = new VarveError('unavailable', 'CONNECTION_LOST', 'gone');
  await expect(clientOf(() => Promise.reject(lost)).getJson(request, schema)).rejects.toBe(lost);
});

test('query and body are written, and what has no value is left out', async () => {
  let seen: Request | undefined;
  const client = clientOf(async (given) => {
    seen = given;
    return new Response('null');
  });
  const query = { a: 'x&y', b: undefined };
  await client.send({ ...request, method: 'POST', query, body: { n: 2n ** 64n - 1n, u: undefined } });
  expect(seen?.url).toBe('http://service:1/v1/thing?a=x%26y');
  expect(seen?.headers.get('content-type')).toBe('application/json');
  expect(await seen?.text()).toBe('{"n":18446744073709551615}');
});
