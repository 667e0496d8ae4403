import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { z } from 'zod';
import { VarveError } from '../base/errors.ts';
import { checkAccess, type Gate } from '../contracts/token.ts';
import type { Clock } from '../io/clock.ts';
import type { HttpHandler } from '../io/http.ts';
import type { Random } from '../io/random.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { acceptsProblem, preferredType } from './accept.ts';
import { errorResponse, PROBLEM_TYPE } from './error-response.ts';
import { formatExactJson } from './exact-json.ts';
import { authenticate, checkRequestPart, openBody, readJsonBody, refuseBody } from './request-reading.ts';
import type {
  AnyRoute,
  JsonRoute,
  Method,
  RawAnswer,
  RawRoute,
  RouteRequest,
  SuccessStatus,
  UploadRoute,
} from './route.ts';
import type { TokenVerifier } from './token-verifier.ts';

export interface HttpAppOptions {
  readonly title: string;
  /** Of the program. */
  readonly version: string;
  readonly gate: Gate;
  /** Errors call themselves problem details whatever is preferred: nobody has clients from before that. */
  readonly alwaysProblem?: boolean;
  /** Without it no token is asked for. */
  readonly verifier: TokenVerifier | undefined;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
}

type Env = { Bindings: { peer: string }; Variables: { requestId: string } };

const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
const NO_FIELDS = z.object({});

const errorBodySchema = z
  .object({
    msg: z.string(),
    kind: z.string(),
    code: z.string(),
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
  })
  .meta({
    id: 'Error',
    description:
      'msg is for people; kind and code are stable; type, title, status and detail are those of RFC 9457.',
  });

const JSON_TYPE = 'application/json';
const RETRY_AFTER_S = '1';

/** What a route answers, for its description. */
interface DescribedAnswer {
  readonly statuses: readonly number[];
  readonly content: Record<string, { schema: z.ZodType }>;
}

/**
 * The HTTP side of one service: routes, with what all services do alike. Requests have an id (`x-request-id`, made
 * where there is none, and echoed), tokens are checked before anything is read, bodies are bounded, errors are
 * answered by one table. `/metrics` and `/openapi.json` are there without a token.
 */
export class HttpApp {
  /** For the HTTP door. Never throws. */
  readonly handler: HttpHandler;
  readonly #options: HttpAppOptions;
  readonly #app = new OpenAPIHono<Env>();
  readonly #routes: AnyRoute[] = [];

  constructor(options: HttpAppOptions) {
    this.#options = options;
    this.handler = async (request, peer) => this.#app.fetch(request, { peer });
    this.#app.openAPIRegistry.registerComponent('securitySchemes', 'token', {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'JWT',
    });
    this.#app.use((context, next) => this.#identify(context, next));
    this.#app.notFound((context) =>
      this.#fail(new VarveError('not-found', 'ROUTE_NOT_FOUND', 'page not found'), context),
    );
    this.#app.onError((error, context) => this.#fail(error, context));
    this.#addCommonRoutes();
  }

  /** What there is, in the order in which it was added. */
  get routes(): readonly Pick<AnyRoute, 'method' | 'path' | 'access'>[] {
    return this.#routes;
  }

  /** Adds a route that answers JSON: what the handler gives, encoded by the schema. */
  addJson<
    Params extends z.ZodObject = typeof NO_FIELDS,
    Query extends z.ZodObject = typeof NO_FIELDS,
    Body extends z.ZodType = typeof NO_FIELDS,
    Answer extends z.ZodType = z.ZodVoid,
  >(route: JsonRoute<Params, Query, Body, Answer>): void {
    const { answer, handle, status = 200, forms = [] } = route;
    const schema = answer ?? z.null();
    const content = Object.fromEntries([
      [JSON_TYPE, { schema }],
      ...forms.map(({ contentType }) => [contentType, { schema: z.string() }]),
    ]);
    const types = [JSON_TYPE, ...forms.map(({ contentType }) => contentType)];
    const statuses = typeof status === 'number' ? [status] : status.all;
    this.#add(route, { statuses, content }, async (request, context) => {
      const value = await handle(request as Parameters<typeof handle>[0]);
      const type = preferredType(context.req.header('accept'), types);
      const form = forms.find(({ contentType }) => contentType === type);
      const response = jsonOrForm(
        form === undefined
          ? formatExactJson(answer === undefined ? null : z.encode(answer, value))
          : form.render(value),
        form?.contentType ?? JSON_TYPE,
        typeof status === 'number' ? status : status.of(value),
      );
      if (forms.length > 0) response.headers.set('vary', 'accept');
      return response;
    });
  }

  /** Adds a route that takes a stream of bytes. */
  addUpload<
    Params extends z.ZodObject = typeof NO_FIELDS,
    Query extends z.ZodObject = typeof NO_FIELDS,
    Answer extends z.ZodType = z.ZodVoid,
  >(route: UploadRoute<Params, Query, Answer>): void {
    const { answer, handle, status = 200 } = route;
    const content = { [JSON_TYPE]: { schema: answer ?? z.null() } };
    this.#add(route, { statuses: [status], content }, async (request) => {
      const value = await handle(request as Parameters<typeof handle>[0]);
      const json = formatExactJson(answer === undefined ? null : z.encode(answer, value));
      return jsonOrForm(json, JSON_TYPE, status);
    });
  }

  /** Adds a route that answers text or a stream. An error within the stream breaks the connection. */
  addRaw<
    Params extends z.ZodObject = typeof NO_FIELDS,
    Query extends z.ZodObject = typeof NO_FIELDS,
    Body extends z.ZodType = typeof NO_FIELDS,
  >(route: RawRoute<Params, Query, Body>): void {
    const { contentType, handle } = route;
    const content = { [contentType]: { schema: z.string() } };
    this.#add(route, { statuses: [200], content }, async (request, context) => {
      const answer = await handle(request as Parameters<typeof handle>[0]);
      return new Response(this.#rawBody(answer, context), {
        headers: { 'content-type': answer.contentType },
      });
    });
  }

  openApiDocument(): object {
    const { title, version } = this.#options;
    return this.#app.getOpenAPI31Document({ openapi: '3.1.0', info: { title, version } });
  }

  #add(
    // Its schemas are those that the request is checked against, so a handler gets what it expects.
    typedRoute: object,
    answer: DescribedAnswer,
    handle: (request: RouteRequest<unknown, unknown, unknown>, context: Context<Env>) => Promise<Response>,
  ): void {
    const route = typedRoute as AnyRoute;
    this.#routes.push(route);
    this.#app.openAPIRegistry.registerPath(describeRoute(route, answer));
    const path = route.path.replaceAll(/\{(\w+)\}/g, ':$1');
    this.#app.on(route.method.toUpperCase(), path, async (context) =>
      handle(await this.#read(route, context), context),
    );
  }

  async #read(route: AnyRoute, context: Context<Env>): Promise<RouteRequest<unknown, unknown, unknown>> {
    const { verifier, gate, clock } = this.#options;
    const { raw } = context.req;
    const isOpen = route.access === 'open' || verifier === undefined;
    const claims = isOpen ? undefined : await authenticate(verifier, raw.headers);
    const params = checkRequestPart(route.params ?? NO_FIELDS, context.req.param(), 'path');
    const query = checkRequestPart(route.query ?? NO_FIELDS, context.req.query(), 'query');
    const checkClaims = (body: unknown): void => {
      if (claims !== undefined && route.access !== 'open') {
        checkAccess(gate, claims, route.access({ params, body }));
      }
    };
    if (route.uploadBytesMax !== undefined) {
      checkClaims({});
      const stream = openBody(raw, route.uploadBytesMax, clock);
      return { params, query, body: stream, headers: raw.headers, signal: raw.signal };
    }
    let body: unknown = {};
    if (route.body === undefined) await refuseBody(raw, clock);
    else body = await readJsonBody(raw, route.body, route.isBodyOptional ?? false, clock);
    checkClaims(body);
    return { params, query, body, headers: raw.headers, signal: raw.signal };
  }

  async #identify(context: Context<Env>, next: () => Promise<void>): Promise<void> {
    const { clock, logger, random } = this.#options;
    const given = context.req.header('x-request-id') ?? '';
    const requestId = REQUEST_ID.test(given) ? given : hexOf(random.bytes(16));
    context.set('requestId', requestId);
    const startMs = clock.monotonicMs();
    await next();
    context.res.headers.set('x-request-id', requestId);
    logger.debug('answered a request', {
      requestId,
      method: context.req.method,
      path: context.req.path,
      status: context.res.status,
      durationMs: clock.monotonicMs() - startMs,
      peer: context.env.peer,
    });
  }

  #fail(error: unknown, context: Context<Env>): Response {
    const isProblem = this.#options.alwaysProblem === true || acceptsProblem(context.req.header('accept'));
    const response = errorResponse(error, isProblem ? PROBLEM_TYPE : JSON_TYPE);
    const fields = {
      requestId: context.get('requestId'),
      method: context.req.method,
      path: context.req.path,
      status: response.status,
      peer: context.env.peer,
      error,
    };
    const { logger } = this.#options;
    if (response.status === 500 || response.status === 502) logger.error('a request has failed', fields);
    else if (response.status === 503) logger.warn('a request cannot be carried out now', fields);
    else if (response.status === 401 || response.status === 403) logger.info('a request was refused', fields);
    else logger.debug('a request was wrong', fields);
    return response;
  }

  #rawBody({ body }: RawAnswer, context: Context<Env>): string | ReadableStream<Uint8Array> {
    return typeof body === 'string' ? body : ReadableStream.from(this.#watch(body, context));
  }

  async *#watch(body: AsyncIterable<Uint8Array>, context: Context<Env>): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      // The head has gone out already: all that is left is to end the connection, and to say here why.
      const requestId = context.get('requestId');
      this.#options.logger.error('an answer broke off', { requestId, path: context.req.path, error });
      throw error;
    }
  }

  #addCommonRoutes(): void {
    const { metrics } = this.#options;
    this.addRaw({
      method: 'get',
      path: '/metrics',
      summary: 'Metrics in the text format of Prometheus',
      access: 'open',
      contentType: 'text/plain',
      handle: async () => ({ contentType: metrics.contentType, body: await metrics.expose() }),
    });
    this.addRaw({
      method: 'get',
      path: '/openapi.json',
      summary: 'This description',
      access: 'open',
      contentType: 'application/json',
      handle: async () => ({
        contentType: 'application/json',
        body: JSON.stringify(this.openApiDocument()),
      }),
    });
  }
}

function jsonOrForm(body: string, contentType: string, status: SuccessStatus): Response {
  if (status === 304) return new Response(null, { status });
  const headers = new Headers({ 'content-type': contentType });
  if (status === 503) headers.set('retry-after', RETRY_AFTER_S);
  return new Response(body, { status, headers });
}

const DESCRIPTION_OF_STATUS: Readonly<Record<number, string>> = {
  200: 'Done',
  201: 'Made',
  202: 'Under way',
  304: 'It was so already',
  503: 'Not now',
};

function describeRoute(route: AnyRoute, { statuses, content }: DescribedAnswer): RouteConfig {
  const { method, path, summary, access, params, query } = route;
  const body = describeBody(route);
  return {
    method: method satisfies Method,
    path,
    summary,
    ...(access === 'open' ? {} : { security: [{ token: [] }] }),
    request: {
      ...(params === undefined ? {} : { params }),
      ...(query === undefined ? {} : { query }),
      ...(body === undefined ? {} : { body }),
    },
    responses: {
      ...Object.fromEntries(
        statuses.map((status) => [
          status,
          { description: DESCRIPTION_OF_STATUS[status] ?? 'Done', ...(status === 304 ? {} : { content }) },
        ]),
      ),
      default: {
        description: 'An error',
        content: {
          [JSON_TYPE]: { schema: errorBodySchema },
          [PROBLEM_TYPE]: { schema: errorBodySchema },
        },
      },
    },
  };
}

function describeBody({
  body,
  isBodyOptional,
  uploadType,
}: AnyRoute): NonNullable<RouteConfig['request']>['body'] | undefined {
  if (uploadType !== undefined) {
    return { required: true, content: { [uploadType]: { schema: { type: 'string', format: 'binary' } } } };
  }
  if (body === undefined) return undefined;
  return { required: isBodyOptional !== true, content: { [JSON_TYPE]: { schema: body } } };
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
