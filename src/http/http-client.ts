import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import type { Clock } from '../io/clock.ts';
import type { Http } from '../io/http.ts';
import type { ServerTrust } from '../io/sockets.ts';
import { readBoundedText } from './bounded-body.ts';
import { errorFromResponse } from './error-response.ts';
import { formatExactJson, parseExactJson } from './exact-json.ts';
import { describeIssues } from './request-reading.ts';

export interface HttpClientOptions {
  readonly http: Http;
  readonly clock: Clock;
  /** Such as `http://127.0.0.1:7676`, without a path. */
  readonly baseUrl: string;
  /** Asked anew for each request, since tokens expire. */
  readonly token?: () => Promise<string>;
  readonly trust?: ServerTrust;
  /** How long an answer may take; of a stream, its head. */
  readonly timeoutMs?: number;
}

export interface ClientRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the root, with what varies escaped. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  /** In the place of a body: bytes, sent no faster than they are taken. */
  readonly upload?: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  /** In the place of the client's. */
  readonly timeoutMs?: number;
}

/** An answer with its status, where that says something. */
export interface StatusAndAnswer<Answer> {
  readonly status: number;
  readonly answer: Answer;
}

const TIMEOUT_DEFAULT_MS = 30_000;
/** An answer is read whole; this many bytes are some hundred thousand timelines. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const ERROR_BYTES_MAX = 64 * 1024;

/**
 * Asks a service of ours. What it answers as an error is thrown with the same kind and code. Beside these, and those
 * of the HTTP door, it throws `unavailable` / REQUEST_TIMEOUT, and `corruption` / BAD_ANSWER for an answer that is not
 * what the API says.
 */
export class HttpClient {
  readonly #options: HttpClientOptions;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /** Asks for JSON, and decodes it. */
  async getJson<Answer extends z.ZodType>(request: ClientRequest, schema: Answer): Promise<z.output<Answer>> {
    return (await this.ask(request, schema)).answer;
  }

  /** As getJson, with the status. */
  async ask<Answer extends z.ZodType>(
    request: ClientRequest,
    schema: Answer,
  ): Promise<StatusAndAnswer<z.output<Answer>>> {
    const { status, text } = await this.#within(request, async (response) => {
      await throwIfFailed(response);
      return { status: response.status, text: await readAnswer(response, ANSWER_BYTES_MAX) };
    });
    const result = schema.safeParse(parseAnswer(text));
    if (result.success) return { status, answer: result.data };
    throw badAnswer(`the answer to ${request.path} is wrong: ${describeIssues(result.error)}`);
  }

  /** Asks for something that is answered by nothing. */
  async send(request: ClientRequest): Promise<void> {
    await this.getJson(request, z.null());
  }

  /** Asks for a stream. Once it has begun, only the request's signal ends it early. */
  async getStream(request: ClientRequest): Promise<AsyncIterable<Uint8Array>> {
    const body = await this.#within(request, async (response) => {
      await throwIfFailed(response);
      return response.body;
    });
    if (body === null) throw badAnswer(`the answer to ${request.path} has no body`);
    return body;
  }

  async #within<Value>(request: ClientRequest, use: (response: Response) => Promise<Value>): Promise<Value> {
    const { http, clock, trust } = this.#options;
    const timeoutMs = request.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_DEFAULT_MS;
    const tooLate = new AbortController();
    const timer = clock.setTimer(timeoutMs, () => tooLate.abort());
    try {
      const sent = await this.#prepare(request, AbortSignal.any([request.signal, tooLate.signal]));
      return await use(await http.request(sent, trust));
    } catch (error) {
      if (!tooLate.signal.aborted || request.signal.aborted) throw error;
      throw new VarveError(
        'unavailable',
        'REQUEST_TIMEOUT',
        `${request.path} was not answered within ${timeoutMs} ms`,
        {},
        error,
      );
    } finally {
      timer.cancel();
    }
  }

  async #prepare(
    { method, path, query = {}, body, upload }: ClientRequest,
    signal: AbortSignal,
  ): Promise<Request> {
    const { baseUrl, token } = this.#options;
    const url = new URL(path, baseUrl);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const headers = new Headers({ accept: 'application/json' });
    if (token !== undefined) headers.set('authorization', `Bearer ${await token()}`);
    if (upload !== undefined) {
      headers.set('content-type', 'application/octet-stream');
      return new Request(url, { method, headers, signal, body: ReadableStream.from(upload), duplex: 'half' });
    }
    if (body === undefined) return new Request(url, { method, headers, signal });
    headers.set('content-type', 'application/json');
    return new Request(url, { method, headers, signal, body: formatExactJson(body) });
  }
}

async function throwIfFailed(response: Response): Promise<void> {
  if (response.ok) return;
  const text = await readAnswer(response, ERROR_BYTES_MAX);
  let answer: unknown;
  try {
    answer = parseExactJson(text);
  } catch {
    // Somebody in between has answered, in words of his own: the status has to do.
  }
  throw errorFromResponse(response.status, answer);
}

async function readAnswer(response: Response, limitBytes: number): Promise<string> {
  try {
    return await readBoundedText(response.body, limitBytes);
  } catch (error) {
    if (error instanceof VarveError && error.kind === 'bad-request') throw badAnswer(error.reason, error);
    throw error;
  }
}

function parseAnswer(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    throw badAnswer('the answer is not JSON', error);
  }
}

function badAnswer(reason: string, cause?: unknown): VarveError {
  return new VarveError('corruption', 'BAD_ANSWER', reason, {}, cause);
}
