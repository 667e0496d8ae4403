import type { z } from 'zod';
import type { Resource } from '../contracts/token.ts';

/** What a handler is given: checked, and decoded to the types of the schemas. */
export interface RouteRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** All that the request has, for what has no schema of its own. */
  readonly headers: Headers;
  /** Given when whoever asked has gone. What changes something runs to its end unless it looks at it. */
  readonly signal: AbortSignal;
}

/** Of an answer that is no error. 304: it was so already, and nothing had to be done. */
export type SuccessStatus = 200 | 201 | 202 | 304 | 503;

/** Statuses of a route whose answer says which of them it has. */
export interface StatusByAnswer<Value> {
  readonly all: readonly SuccessStatus[];
  readonly of: (value: Value) => SuccessStatus;
}

/** Another form of an answer, for whoever prefers it to JSON in the header `Accept`. */
export interface AnswerForm<Value> {
  readonly contentType: string;
  readonly render: (value: Value) => string;
}

/** An answer that is no JSON. */
export interface RawAnswer {
  readonly contentType: string;
  readonly body: string | AsyncIterable<Uint8Array>;
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

interface RouteBase<Params extends z.ZodObject, Query extends z.ZodObject, Body extends z.ZodType> {
  readonly method: Method;
  /** With parameters as `{name}`. */
  readonly path: string;
  readonly summary: string;
  /** `open` needs no token; otherwise tells what is asked for, which the token must open. */
  readonly access: 'open' | ((request: { params: z.output<Params>; body: z.output<Body> }) => Resource);
  readonly params?: Params;
  readonly query?: Query;
  /** Without one a request must have no body. */
  readonly body?: Body;
  /** A request without a body counts as one with `{}`. */
  readonly isBodyOptional?: boolean;
}

/** A route that answers JSON by a schema, or `null` where there is none. */
export interface JsonRoute<
  Params extends z.ZodObject,
  Query extends z.ZodObject,
  Body extends z.ZodType,
  Answer extends z.ZodType,
> extends RouteBase<Params, Query, Body> {
  readonly answer?: Answer;
  /** 200 where it is left out. */
  readonly status?: SuccessStatus | StatusByAnswer<z.output<Answer>>;
  readonly forms?: readonly AnswerForm<z.output<Answer>>[];
  readonly handle: (
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ) => Promise<z.output<Answer>>;
}

/**
 * A route that takes a stream of bytes and answers JSON. Bytes are read no faster than the handler takes them; where it
 * leaves some, or throws, the connection is closed after the answer.
 */
export interface UploadRoute<Params extends z.ZodObject, Query extends z.ZodObject, Answer extends z.ZodType>
  extends Omit<RouteBase<Params, Query, z.ZodType>, 'body' | 'isBodyOptional'> {
  /** For the description: whatever a request says is taken. */
  readonly uploadType: string;
  /** More bytes are refused: at once where they are announced, else when they have come. */
  readonly uploadBytesMax: number;
  readonly answer?: Answer;
  readonly status?: SuccessStatus;
  /** The stream throws BadRequestError BODY_TOO_LARGE, VarveError ‘unavailable’ / BODY_STALLED, and of the HTTP door. */
  readonly handle: (
    request: RouteRequest<z.output<Params>, z.output<Query>, AsyncIterable<Uint8Array>>,
  ) => Promise<z.output<Answer>>;
}

/** A route that answers text or a stream of bytes. */
export interface RawRoute<Params extends z.ZodObject, Query extends z.ZodObject, Body extends z.ZodType>
  extends RouteBase<Params, Query, Body> {
  /** For the description; the answer names its own. */
  readonly contentType: string;
  readonly handle: (
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ) => Promise<RawAnswer>;
}

/** What the schemas are left out of, for whoever handles all routes alike. */
export type AnyRoute = RouteBase<z.ZodObject, z.ZodObject, z.ZodType> & {
  readonly uploadType?: string;
  readonly uploadBytesMax?: number;
};
