import { expect, test } from 'vitest';
import { z } from 'zod';
import { AssertionError, type ErrorKind, VarveError } from '../base/errors.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeRandom } from '../io/node/random.ts';
import { CollectingLogger } from '../observe/log.ts';
import { Metrics } from '../observe/metrics.ts';
import { HttpApp } from './app.ts';
import { errorFromResponse } from './error-response.ts';
import { REQUEST_BODY_BYTES_MAX } from './request-reading.ts';

const logger = new CollectingLogger();
let failure: unknown;

function makeApp(): HttpApp {
  const metrics = new Metrics(nodeClock);
  metrics.counter('test_total', 'Test').add(7);
  const app = new HttpApp({
    title: 'Test',
    version: '1.2.3',
    gate: 'safekeeper',
    verifier: undefined,
    logger,
    metrics,
    clock: nodeClock,
    random: nodeRandom,
  });
  app.addJson({
    method: 'post',
    path: '/echo',
    summary: 'Echo',
    access: 'open',
    body: z.object({ number: z.union([z.number(), z.bigint()]).optional() }),
    answer: z.object({ number: z.union([z.number(), z.bigint()]).optional() }),
    handle: async ({ body }) => body,
  });
  app.addJson({
    method: 'post',
    path: '/fail',
    summary: 'Fail',
    access: 'open',
    handle: async () => {
      throw failure;
    },
  });
  app.addRaw({
    method: 'get',
    path: '/stream',
    summary: 'Stream',
    access: 'open',
    contentType: 'application/octet-stream',
    handle: async () => ({ contentType: 'application/octet-stream', body: breakingStream() }),
  });
  app.addRaw({
    method: 'get',
    path: '/endless',
    summary: 'Endless',
    access: 'open',
    contentType: 'application/octet-stream',
    handle: async () => ({ contentType: 'application/octet-stream', body: endlessStream() }),
  });
  app.addJson({
    method: 'get',
    path: '/formed',
    summary: 'Formed',
    access: 'open',
    query: z.object({ status: z.enum(['201', '304', '503']) }),
    answer: z.int(),
    status: { all: [201, 304, 503], of: (value) => value as 201 | 304 | 503 },
    forms: [{ contentType: 'text/html', render: (value) => `<b>${value}</b>` }],
    handle: async ({ query }) => Number(query.status),
  });
  app.addUpload({
    method: 'put',
    path: '/upload',
    summary: 'Upload',
    access: 'open',
    uploadType: 'application/x-tar',
    uploadBytesMax: 10,
    answer: z.int(),
    handle: async ({ body }) => {
      let sum = 0;
      for await (const chunk of body) sum += chunk.length;
      return sum;
    },
  });
  return app;
}

let isSourceEnded = false;

async function* endlessStream(): AsyncGenerator<Uint8Array> {
  try {
    while (true) yield new Uint8Array(10);
  } finally {
    isSourceEnded = true;
  }
}

async function* breakingStream(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array([1, 2, 3]);
  throw new VarveError('corruption', 'BAD_SEGMENT', 'damaged');
}

const app = makeApp();

function request(method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  const withType = body === undefined ? headers : { 'content-type': 'application/json', ...headers };
  const given = new Request(`http://test${path}`, {
    method,
    headers: withType,
    ...(body === undefined ? {} : { body }),
  });
  return app.handler(given, '127.0.0.1:1');
}

test.each<[ErrorKind, number, string, string | null]>([
  ['bad-request', 400, 'because', null],
  ['not-found', 404, 'NotFound: because', null],
  ['conflict', 409, 'Conflict: because', null],
  ['fenced', 409, 'Conflict: because', null],
  ['precondition', 412, 'Precondition failed: because', null],
  ['corruption', 502, 'because', null],
  ['unavailable', 503, 'because', '1'],
  ['cancelled', 503, 'Shutting down', '1'],
])('an error of the kind %s is answered with %i', async (kind, status, msg, retryAfter) => {
  failure = new VarveError(kind, 'SOME_CODE', 'because');
  const response = await request('POST', '/fail');
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/json');
  expect(response.headers.get('retry-after')).toBe(retryAfter);
  const body = await response.json();
  const problem = { type: 'urn:varve:error:SOME_CODE', title: expect.stringMatching(/./), status };
  const detail = kind === 'cancelled' ? msg : 'because';
  expect(body).toEqual({ msg, kind, code: 'SOME_CODE', ...problem, detail });
  expect(errorFromResponse(status, body)).toMatchObject({ kind, code: 'SOME_CODE' });
});

test.each([
  ['TOKEN_MISSING', 401, 'Unauthorized: missing authorization header'],
  ['TOKEN_REFUSED', 403, 'Forbidden: JWT authentication error'],
  ['SCOPE_REFUSED', 403, 'Forbidden: JWT authentication error'],
  ['NOT_A_MEMBER', 403, 'Forbidden: because'],
  ['BAD_BRANCH_POINT', 406, 'because'],
  ['TIMELINE_BEING_CREATED', 429, 'because'],
])('the code %s is answered with %i', async (code, status, msg) => {
  failure = new VarveError('precondition', code, 'because');
  const response = await request('POST', '/fail');
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ msg, kind: 'precondition', code, status });
});

test.each([
  ['an assertion', new AssertionError('the secret inside')],
  ['an unknown error', new TypeError('the secret inside')],
])('%s is a 500 that tells nothing outside, and all of it in the log', async (_, error) => {
  failure = error;
  logger.lines.length = 0;
  const response = await request('POST', '/fail', undefined, { 'x-request-id': 'abc' });
  expect(response.status).toBe(500);
  const body = await response.json();
  const msg = 'internal error: this is a bug, see the log';
  expect(body).toMatchObject({ msg, detail: msg, kind: 'assertion', code: 'ASSERTION' });
  expect(errorFromResponse(500, body)).toMatchObject({ kind: 'unavailable', code: 'REMOTE_FAILURE' });
  const line = logger.lines.find(({ level }) => level === 'error');
  expect(line?.fields).toMatchObject({ requestId: 'abc', path: '/fail', peer: '127.0.0.1:1' });
  expect(JSON.stringify(line?.fields['error'])).toContain('the secret inside');
});

test.each<[string, string, string | undefined, Record<string, string>, number, string]>([
  ['no body', '/echo', undefined, {}, 400, 'MISSING_BODY'],
  ['an empty body', '/echo', '', {}, 400, 'MISSING_BODY'],
  ['malformed JSON', '/echo', '{"a":', {}, 400, 'MALFORMED_JSON'],
  ['deeply nested JSON', '/echo', '['.repeat(500_000), {}, 400, 'MALFORMED_JSON'],
  ['nested JSON that ends', '/echo', '['.repeat(5e5) + ']'.repeat(5e5), {}, 400, 'MALFORMED_JSON'],
  ['JSON of the wrong shape', '/echo', '{"number":"x"}', {}, 400, 'BAD_REQUEST'],
  ['JSON that is no object', '/echo', '5', {}, 400, 'BAD_REQUEST'],
  ['another type', '/echo', '{}', { 'content-type': 'text/plain' }, 415, 'BAD_CONTENT_TYPE'],
  [
    'a type that begins like it',
    '/echo',
    '{}',
    { 'content-type': 'application/jsonx' },
    415,
    'BAD_CONTENT_TYPE',
  ],
  ['a large body', '/echo', ' '.repeat(REQUEST_BODY_BYTES_MAX + 1), {}, 413, 'BODY_TOO_LARGE'],
  ['an announced large body', '/echo', '{}', { 'content-length': '1e9' }, 413, 'BODY_TOO_LARGE'],
  ['a body where none belongs', '/fail', '{}', {}, 400, 'UNEXPECTED_BODY'],
  ['a path that is not there', '/nothing', '{}', {}, 404, 'ROUTE_NOT_FOUND'],
])('%s is refused', async (_, path, body, headers, status, code) => {
  const response = await request('POST', path, body, headers);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ code });
});

test('bytes that are not UTF-8 are refused', async () => {
  const body = new Uint8Array([0x7b, 0xff, 0x7d]);
  const headers = { 'content-type': 'application/json' };
  const response = await app.handler(new Request('http://test/echo', { method: 'POST', headers, body }), 'x');
  expect(await response.json()).toMatchObject({ code: 'BAD_UTF8' });
});

test('a body at the limit is taken', async () => {
  const response = await request('POST', '/echo', '{}'.padEnd(REQUEST_BODY_BYTES_MAX));
  expect(response.status).toBe(200);
});

test('another method of a path that is there is not found', async () => {
  expect((await request('GET', '/echo')).status).toBe(404);
});

test('whole numbers beyond 2^53 go in and out exactly', async () => {
  const response = await request('POST', '/echo', '{"number":18446744073709551615}');
  expect(await response.text()).toBe('{"number":18446744073709551615}');
});

test('a request id is echoed, and made where there is none or a bad one', async () => {
  const echoed = await request('GET', '/metrics', undefined, { 'x-request-id': 'abc-1' });
  expect(echoed.headers.get('x-request-id')).toBe('abc-1');
  const ids = await Promise.all(
    ['', 'x'.repeat(129), 'a b'].map(async (id) => {
      const response = await request('GET', '/nothing', undefined, { 'x-request-id': id });
      return response.headers.get('x-request-id');
    }),
  );
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect(new Set(ids).size).toBe(3);
});

test('metrics are given in the format of Prometheus', async () => {
  const response = await request('GET', '/metrics');
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await response.text()).toContain('test_total 7\n');
});

test('an error within a stream breaks it off, and is logged', async () => {
  logger.lines.length = 0;
  const response = await request('GET', '/stream');
  expect(response.status).toBe(200);
  await expect(response.arrayBuffer()).rejects.toThrow('damaged');
  expect(logger.lines).toContainEqual(
    expect.objectContaining({ level: 'error', message: 'an answer broke off' }),
  );
});

test('who reads no further lets go of the source', async () => {
  const { body } = await request('GET', '/endless');
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  expect((await reader.read()).value).toHaveLength(10);
  expect(isSourceEnded).toBe(false);
  await reader.cancel();
  expect(isSourceEnded).toBe(true);
});

test.each([
  [undefined, 'application/json', '201'],
  ['*/*', 'application/json', '201'],
  ['text/html', 'text/html', '<b>201</b>'],
  ['text/*;q=0.9, application/json;q=0.2', 'text/html', '<b>201</b>'],
  ['text/html;q=0, */*', 'application/json', '201'],
  ['TEXT/HTML;q=0.5, application/json', 'application/json', '201'],
  ['image/png', 'application/json', '201'],
  [';q=x,,text/html;q=7', 'application/json', '201'],
])('to who accepts "%s" %s is given', async (accept, type, text) => {
  const headers = accept === undefined ? {} : { accept };
  const response = await request('GET', '/formed?status=201', undefined, headers);
  expect(response.status).toBe(201);
  expect(response.headers.get('content-type')).toBe(type);
  expect(response.headers.get('vary')).toBe('accept');
  expect(await response.text()).toBe(text);
});

test('an answer says by its status what it is, without a body or with when to come again', async () => {
  const unchanged = await request('GET', '/formed?status=304');
  expect([unchanged.status, await unchanged.text()]).toEqual([304, '']);
  const later = await request('GET', '/formed?status=503');
  expect([later.status, later.headers.get('retry-after')]).toEqual([503, '1']);
});

function upload(chunks: readonly number[], headers: Record<string, string> = {}) {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const length of chunks) yield new Uint8Array(length);
  }
  const body = ReadableStream.from(bytes());
  return app.handler(
    new Request('http://test/upload', { method: 'PUT', headers, body, duplex: 'half' }),
    'x',
  );
}

test('an upload has at most so many bytes, whether it says so or not', async () => {
  expect(await (await upload([4, 6])).json()).toBe(10);
  expect(await (await upload([])).json()).toBe(0);
  expect((await upload([4, 7])).status).toBe(413);
  expect((await upload([1], { 'content-length': '11' })).status).toBe(413);
});
