import type { z } from 'zod';
import type { Resource } from '../contracts/token.ts';

/** What a handler is given: checked, and decoded to the types of the schemas. */
export interface RouteRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Given when whoever asked has gone. What changes something runs to its end unless it looks at it. */
  readonly signal: AbortSignal;
}

/** An answer that is no JSON. */
export interface RawAnswer {
  readonly contentType: string;
  readonly body: string | AsyncIterable<Uint8Array>;
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

interface RouteBase<Params extends z.ZodObject, Query extends z.ZodObject, Body extends z.ZodObject> {
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
  Body extends z.ZodObject,
  Answer extends z.ZodType,
> extends RouteBase<Params, Query, Body> {
  readonly answer?: Answer;
  readonly handle: (
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ) => Promise<z.output<Answer>>;
}

/** A route that answers text or a stream of bytes. */
export interface RawRoute<Params extends z.ZodObject, Query extends z.ZodObject, Body extends z.ZodObject>
  extends RouteBase<Params, Query, Body> {
  /** For the description; the answer names its own. */
  readonly contentType: string;
  readonly handle: (
    request: RouteRequest<z.output<Params>, z.output<Query>, z.output<Body>>,
  ) => Promise<RawAnswer>;
}

/** What the schemas are left out of, for whoever handles all routes alike. */
export type AnyRoute = RouteBase<z.ZodObject, z.ZodObject, z.ZodObject>;
