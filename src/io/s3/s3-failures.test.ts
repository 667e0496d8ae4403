import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { expectRefusal } from '../../../test/conformance/world.ts';
import { type ScriptedRequest, startScriptedHttpServer } from '../../../test/support/scripted-http-server.ts';
import type { Clock, Timer } from '../clock.ts';
import { nodeClock } from '../node/clock.ts';
import { nodeRandom } from '../node/random.ts';
import type { ObjectStore } from '../objects.ts';
import { openS3Objects } from './open.ts';
import type { S3Limits } from './options.ts';

const never = new AbortController().signal;
const credentials = {
  accessKeyId: 'the-key',
  secretAccessKey: 'the-secret-access-key',
  sessionToken: 'the-session-token',
};

/** Time that passes only when the test says so; what is due at once happens soon. */
class StandingClock implements Clock {
  readonly delaysMs: number[] = [];
  #nowMs = 0;
  readonly #timers = new Map<object, { dueMs: number; callback: () => void }>();

  monotonicMs(): number {
    return this.#nowMs;
  }
  wallMs(): number {
    return this.#nowMs;
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = {};
    this.#timers.set(timer, { dueMs: this.#nowMs + delayMs, callback });
    this.delaysMs.push(delayMs);
    if (delayMs === 0) setImmediate(() => this.advance(0));
    return { cancel: () => void this.#timers.delete(timer) };
  }
  async yieldToOthers(): Promise<void> {
    await nodeClock.yieldToOthers();
  }
  advance(byMs: number): void {
    this.#nowMs += byMs;
    for (const [timer, { dueMs, callback }] of [...this.#timers]) {
      if (dueMs > this.#nowMs) continue;
      this.#timers.delete(timer);
      callback();
    }
  }
}

const STALL_MS = 1000;

function open(
  endpoint: string,
  clock: Clock = nodeClock,
  limits: Partial<S3Limits> = {},
): Promise<ObjectStore> {
  return openS3Objects(
    { kind: 's3', bucket: 'bucket', prefix: 'prefix', endpoint, region: undefined, isPathStyle: true },
    {
      clock,
      random: nodeRandom,
      credentials,
      limits: { tries: 3, retryDelayMs: 0, stallTimeoutMs: STALL_MS, ...limits },
    },
  );
}

function answer(
  { response }: ScriptedRequest,
  status: number,
  body = '',
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/xml', ...headers });
  response.end(body);
}

const refuse = (request: ScriptedRequest, status: number, code: string): void =>
  answer(
    request,
    status,
    request.method === 'HEAD' ? '' : `<Error><Code>${code}</Code><Message>as told</Message></Error>`,
  );

const page = (keys: readonly string[], rest = ''): string =>
  `<ListBucketResult>${keys.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join('')}${rest}</ListBucketResult>`;

async function listKeys(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('', never)) keys.push(key);
  return keys;
}

/** What a failure of the first try looks like, after which the second one succeeds. */
const PASSING: Readonly<Record<string, (request: ScriptedRequest) => void>> = {
  SlowDown: (request) => refuse(request, 503, 'SlowDown'),
  InternalError: (request) => refuse(request, 500, 'InternalError'),
  'a gateway without a body': (request) => answer(request, 502),
  'a gateway with a page': (request) => answer(request, 504, '<html><body><h1>504</h1>'),
  'too many requests': (request) => answer(request, 429),
  RequestTimeout: (request) => refuse(request, 400, 'RequestTimeout'),
  RequestTimeTooSkewed: (request) => refuse(request, 403, 'RequestTimeTooSkewed'),
  ExpiredToken: (request) => refuse(request, 400, 'ExpiredToken'),
  ConditionalRequestConflict: (request) => refuse(request, 409, 'ConditionalRequestConflict'),
  'a lost connection': ({ response }) => response.destroy(),
  'an answer cut off': ({ response }) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('five!', () => response.destroy());
  },
};

for (const [name, fail] of Object.entries(PASSING)) {
  test(`tries again after ${name}`, async () => {
    await using server = await startScriptedHttpServer((request, number) => {
      if (number % 2 === 1) fail(request);
      else if (request.method === 'GET') answer(request, 200, 'content');
      else answer(request, 200);
    });
    const store = await open(server.endpoint);
    await store.put('key', new TextEncoder().encode('content'), { signal: never });
    expect(new TextDecoder().decode(await store.get('key', { signal: never }))).toBe('content');
    expect(server.requests).toHaveLength(4);
    expect(server.requests[1]?.body.toString()).toBe('content');
    store.close();
  });
}

test('a list that cannot be read is asked for again', async () => {
  await using server = await startScriptedHttpServer((request, number) => {
    if (number === 1) answer(request, 200, '<ListBucketResult><Contents><Key>prefix/');
    else answer(request, 200, page(['prefix/a']));
  });
  expect(await listKeys(await open(server.endpoint))).toEqual(['a']);
});

test('gives up in the end, and says what failed', async () => {
  await using server = await startScriptedHttpServer((request) => refuse(request, 503, 'SlowDown'));
  const store = await open(server.endpoint);
  const error = await expectRefusal(store.get('key', { signal: never }), 'unavailable', 'OBJECT_STORE');
  expect(error.message).toBe('GetObject of s3://bucket/prefix/key: 503 SlowDown as told');
  expect(server.requests).toHaveLength(3);
});

test('waits longer each time, by chance, up to a bound', async () => {
  await using server = await startScriptedHttpServer((request) => refuse(request, 503, 'SlowDown'));
  const clock = new StandingClock();
  const setTimer = clock.setTimer.bind(clock);
  const delaysMs: number[] = [];
  clock.setTimer = (delayMs, callback) => {
    if (delayMs === STALL_MS) return setTimer(delayMs, callback);
    delaysMs.push(delayMs);
    return setTimer(0, callback);
  };
  const store = await openS3Objects(
    {
      kind: 's3',
      bucket: 'bucket',
      prefix: '',
      endpoint: server.endpoint,
      region: undefined,
      isPathStyle: true,
    },
    {
      clock,
      random: { ...nodeRandom, fraction: () => 0.5 },
      credentials,
      limits: { tries: 6, retryDelayMs: 100, retryDelayMaxMs: 700, stallTimeoutMs: STALL_MS },
    },
  );
  await expectRefusal(store.head('key', never), 'unavailable', 'OBJECT_STORE');
  expect(delaysMs).toEqual([50, 100, 200, 350, 350]);
});

test('nobody listens', async () => {
  const { endpoint } = await startScriptedHttpServer(() => undefined).then(async (server) => {
    await server[Symbol.asyncDispose]();
    return server;
  });
  const store = await open(endpoint);
  await expectRefusal(store.head('key', never), 'unavailable', 'OBJECT_STORE');
});

test('pieces are made anew at each try', async () => {
  const content = Buffer.alloc(3_000_000, 'varve');
  let made = 0;
  async function* pieces(): AsyncGenerator<Uint8Array> {
    made++;
    for (let start = 0; start < content.length; start += 99_999)
      yield content.subarray(start, start + 99_999);
  }
  await using server = await startScriptedHttpServer((request, number) => {
    if (number < 3) refuse(request, 500, 'InternalError');
    else answer(request, 200);
  });
  const store = await open(server.endpoint);
  await store.put('key', { sizeBytes: content.length, pieces }, { signal: never });
  expect(made).toBe(3);
  for (const { body } of server.requests) expect(body.equals(content)).toBe(true);
});

test('a request that stalls is given up and tried again', async () => {
  const clock = new StandingClock();
  await using server = await startScriptedHttpServer((request, number) => {
    if (number === 1) {
      clock.advance(STALL_MS);
    } else if (number === 2) {
      request.response.writeHead(200, { 'content-length': '10' });
      request.response.write('five!', () => clock.advance(STALL_MS));
    } else {
      answer(request, 200, 'content');
    }
  });
  const store = await open(server.endpoint, clock);
  expect(new TextDecoder().decode(await store.get('key', { signal: never }))).toBe('content');
  expect(server.requests).toHaveLength(3);
});

test('an upload whose pieces go out is not stalled, however long it takes', async () => {
  const clock = new StandingClock();
  await using server = await startScriptedHttpServer((request) => answer(request, 200));
  const store = await open(server.endpoint, clock);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 20; i++) {
      clock.advance(STALL_MS * 0.9);
      yield new Uint8Array(100_000);
      await nodeClock.yieldToOthers();
    }
  }
  await store.put('key', { sizeBytes: 2_000_000, pieces }, { signal: never });
  expect(server.requests).toHaveLength(1);
});

test('a request that is cancelled lets go of its connection', async () => {
  const controller = new AbortController();
  let closed: Promise<void> | undefined;
  await using server = await startScriptedHttpServer(({ response }) => {
    closed = new Promise((resolve) => response.once('close', resolve));
    controller.abort();
  });
  const store = await open(server.endpoint);
  await expectRefusal(store.get('key', { signal: controller.signal }), 'cancelled', 'CANCELLED');
  await closed;
  expect(server.requests).toHaveLength(1);
});

test('who is cancelled while waiting for the next try waits no longer', async () => {
  await using server = await startScriptedHttpServer((request) => refuse(request, 503, 'SlowDown'));
  const clock = new StandingClock();
  const controller = new AbortController();
  const setTimer = clock.setTimer.bind(clock);
  clock.setTimer = (delayMs, callback) => {
    if (delayMs !== STALL_MS) queueMicrotask(() => controller.abort());
    return setTimer(delayMs, callback);
  };
  const store = await open(server.endpoint, clock, { retryDelayMs: 60_000 });
  await expectRefusal(store.head('key', controller.signal), 'cancelled', 'CANCELLED');
  expect(server.requests).toHaveLength(1);
});

test('what can never work is tried once', async () => {
  const refusals: [number, string][] = [
    ...([
      [403, 'AccessDenied'],
      [403, 'InvalidAccessKeyId'],
      [404, 'NoSuchBucket'],
    ] as [number, string][]),
    ...([
      [301, 'PermanentRedirect'],
      [400, 'InvalidArgument'],
      [501, 'NotImplemented'],
    ] as [number, string][]),
  ];
  for (const [status, code] of refusals) {
    await using server = await startScriptedHttpServer((request) => refuse(request, status, code));
    const store = await open(server.endpoint);
    for (const action of [
      () => listKeys(store),
      () => store.put('key', new Uint8Array(1), { signal: never }),
      () => store.remove(['key'], never),
      () => store.get('key', { signal: never }),
    ]) {
      const error = await expectRefusal(action(), 'precondition', 'OBJECT_STORE_DENIED');
      expect(error.message).toContain(`${status} ${code}`);
    }
    expect(server.requests).toHaveLength(4);
  }
});

test('a refusal before all was sent does not hold the connection', async () => {
  await using server = await startRefusingEarly();
  const store = await open(server.endpoint, nodeClock, { uploads: 1, requests: 1 });
  for (let i = 0; i < 5; i++) {
    let hasEnded = false;
    async function* pieces(): AsyncGenerator<Uint8Array> {
      try {
        for (let sent = 0; sent < 200; sent++) yield new Uint8Array(1_000_000);
      } finally {
        hasEnded = true;
      }
    }
    const action = store.put('key', { sizeBytes: 200_000_000, pieces }, { signal: never });
    await expect(action).rejects.toThrow(/OBJECT_STORE|PutObject/);
    expect(hasEnded).toBe(true);
  }
});

/** Refuses as soon as it has the headers, and takes in nothing. */
async function startRefusingEarly(): Promise<{ endpoint: string } & AsyncDisposable> {
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => {
    request.pause();
    response.writeHead(403, { 'content-type': 'application/xml', connection: 'close' });
    response.end('<Error><Code>AccessDenied</Code></Error>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

test('errors hold no secrets', async () => {
  await using server = await startScriptedHttpServer((request) => refuse(request, 403, 'AccessDenied'));
  const store = await open(server.endpoint);
  const error = await expectRefusal(
    store.get('key', { signal: never }),
    'precondition',
    'OBJECT_STORE_DENIED',
  );
  expect(server.requests[0]?.headers['x-amz-security-token']).toBe(credentials.sessionToken);
  const shown = inspect(error, { depth: 20, showHidden: true });
  for (const secret of [credentials.secretAccessKey, credentials.sessionToken])
    expect(shown).not.toContain(secret);
});

test('a conditional write that finds its own first try has succeeded', async () => {
  let isOurs = true;
  await using server = await startScriptedHttpServer((request, number) => {
    const nonce = String(server.requests[0]?.headers['x-amz-meta-varve-put']);
    if (request.method === 'HEAD')
      answer(request, 200, '', { 'x-amz-meta-varve-put': isOurs ? nonce : 'other' });
    else if (number % 3 === 1) refuse(request, 500, 'InternalError');
    else refuse(request, 412, 'PreconditionFailed');
  });
  const store = await open(server.endpoint);
  const options = { signal: never, onlyIfAbsent: true };
  await store.put('key', new Uint8Array(1), options);
  expect(server.requests.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'HEAD']);
  expect(server.requests[1]?.headers['if-none-match']).toBe('*');
  isOurs = false;
  await expectRefusal(store.put('key', new Uint8Array(1), options), 'precondition', 'OBJECT_EXISTS');
  expect(server.requests).toHaveLength(6);
});

test('a conditional write that is refused at its first try is refused', async () => {
  await using server = await startScriptedHttpServer((request) => refuse(request, 412, 'PreconditionFailed'));
  const store = await open(server.endpoint);
  const action = store.put('key', new Uint8Array(1), { signal: never, onlyIfAbsent: true });
  await expectRefusal(action, 'precondition', 'OBJECT_EXISTS');
  expect(server.requests).toHaveLength(1);
});

const keysOf = ({ body }: ScriptedRequest): string[] =>
  [...body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key);

test('removes a thousand at a time', async () => {
  await using server = await startScriptedHttpServer((request) => answer(request, 200, '<DeleteResult/>'));
  const store = await open(server.endpoint);
  const keys = Array.from({ length: 2500 }, (_, index) => `key-${index}`);
  await store.remove([...keys, ...keys], never);
  expect(server.requests.map((request) => keysOf(request).length)).toEqual([1000, 1000, 500]);
  expect(server.requests.flatMap(keysOf)).toEqual(keys.map((key) => `prefix/${key}`));
  for (const { headers, body } of server.requests) {
    expect(headers['content-md5']).toBe(createHash('md5').update(body).digest('base64'));
  }
});

test('sees what could not be removed in an answer that says all is well', async () => {
  const error = (code: string): string =>
    `<Error><Key>prefix/a</Key><Code>${code}</Code><Message>as told</Message></Error>`;
  await using server = await startScriptedHttpServer((request, number) => {
    const errors = [
      error('NoSuchKey') + error('InternalError'),
      error('NoSuchKey'),
      error('SlowDown') + error('AccessDenied'),
    ];
    answer(request, 200, `<DeleteResult>${errors[number - 1]}</DeleteResult>`);
  });
  const store = await open(server.endpoint);
  await store.remove(['a'], never);
  expect(server.requests).toHaveLength(2);
  const refused = await expectRefusal(store.remove(['a'], never), 'precondition', 'OBJECT_STORE_DENIED');
  expect(refused.message).toContain('AccessDenied as told');
  expect(server.requests).toHaveLength(3);
});

test('a list that goes in circles, out of order or out of its prefix is refused', async () => {
  const more = '<IsTruncated>true</IsTruncated>';
  const pages = [
    page(['prefix/a'], more),
    page(['prefix/a'], `${more}<NextContinuationToken>same</NextContinuationToken>`),
    page([], `${more}<NextContinuationToken>same</NextContinuationToken>`),
    page(['prefix/b', 'prefix/a']),
    page(['prefix/a', 'prefix/a']),
    page(['other/a']),
    page(['%zz'], '<EncodingType>url</EncodingType>'),
    '<ListBucketResult><Contents><Key>prefix/a</Key></Contents></ListBucketResult>',
  ];
  for (const [index, text] of pages.entries()) {
    await using server = await startScriptedHttpServer((request) => answer(request, 200, text));
    await expectRefusal(listKeys(await open(server.endpoint)), 'unavailable', 'OBJECT_STORE');
    expect(server.requests.length, `page ${index}`).toBeLessThanOrEqual(3);
  }
});

test('passes over what others keep in the bucket', async () => {
  const keys = [
    'prefix/',
    'prefix/.temporary/x',
    'prefix/a%0Ab',
    'prefix/a%20+b',
    'prefix/b//c',
    'prefix/d/',
  ];
  await using server = await startScriptedHttpServer((request) =>
    answer(request, 200, page(keys, '<EncodingType>url</EncodingType>')),
  );
  expect(await listKeys(await open(server.endpoint))).toEqual(['a  b']);
});

test('a stream is of one object, or fails', async () => {
  await using server = await startScriptedHttpServer((request) => {
    if (request.method === 'HEAD') answer(request, 200, '', { etag: '"first"', 'content-length': '100' });
    else refuse(request, 412, 'PreconditionFailed');
  });
  const store = await open(server.endpoint);
  const read = async (): Promise<void> => {
    for await (const piece of store.getStream('key', { signal: never })) expect(piece).toBeUndefined();
  };
  await expectRefusal(read(), 'unavailable', 'OBJECT_STORE');
  expect(server.requests[1]?.headers).toMatchObject({ 'if-match': '"first"', range: 'bytes=0-99' });
});

test('a store that does not know ranges is not believed', async () => {
  await using server = await startScriptedHttpServer((request) => answer(request, 200, '0123456789'));
  const store = await open(server.endpoint);
  for (const range of [{ start: 2, end: 4 }, { start: 2 }, { end: 4 }]) {
    await expectRefusal(store.get('key', { signal: never, ...range }), 'unavailable', 'OBJECT_STORE');
  }
});

test('a store that sends more than was asked for is not read on', async () => {
  await using server = await startScriptedHttpServer((request) =>
    answer(request, 206, '0123456789', { 'content-range': 'bytes 2-3/10' }),
  );
  const store = await open(server.endpoint);
  await expectRefusal(store.get('key', { signal: never, start: 2, end: 4 }), 'unavailable', 'OBJECT_STORE');
});

test('so many requests are under way at once, and no more', async () => {
  const pending: ScriptedRequest[] = [];
  let most = 0;
  await using server = await startScriptedHttpServer((request) => {
    most = Math.max(most, pending.push(request));
    // Nobody is answered before three are there.
    if (pending.length < 3) return;
    for (const waiting of pending.splice(0)) answer(waiting, 200, '', { 'content-length': '1' });
  });
  const store = await open(server.endpoint, nodeClock, { requests: 3 });
  await Promise.all(Array.from({ length: 30 }, () => store.head('key', never)));
  expect(most).toBe(3);
});

test('a write may take its pieces from a read of the same store', async () => {
  await using server = await startScriptedHttpServer((request) => {
    const range = request.headers.range?.replace('=', ' ');
    if (request.method === 'HEAD') answer(request, 200, '', { 'content-length': '10' });
    else if (range !== undefined) answer(request, 206, '0123456789', { 'content-range': `${range}/10` });
    else answer(request, 200);
  });
  const store = await open(server.endpoint, nodeClock, { uploads: 1, requests: 1 });
  const copy = (key: string): Promise<void> =>
    store.put(
      key,
      { sizeBytes: 10, pieces: () => store.getStream('key', { signal: never }) },
      { signal: never },
    );
  await Promise.all(['a', 'b', 'c', 'd', 'e'].map(copy));
  const written = server.requests.filter(({ method }) => method === 'PUT').map(({ body }) => body.toString());
  expect(written).toEqual(Array.from({ length: 5 }, () => '0123456789'));
});

test('a key that is too long only with the prefix is refused', async () => {
  await using server = await startScriptedHttpServer((request) =>
    answer(request, 200, '', { 'content-length': '1' }),
  );
  const store = await open(server.endpoint);
  const key = `${'a'.repeat(200)}/`.repeat(5);
  await expectRefusal(store.head(`${key}${'a'.repeat(13)}`, never), 'bad-request', 'BAD_OBJECT_KEY');
  expect(await store.head(`${key}${'a'.repeat(12)}`, never)).toMatchObject({ sizeBytes: 1 });
  expect(server.requests).toHaveLength(1);
});
