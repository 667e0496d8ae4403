import type { z } from 'zod';
import { BadRequestError, VarveError } from '../base/errors.ts';
import type { TokenClaims } from '../contracts/token.ts';
import type { Clock } from '../io/clock.ts';
import { boundedChunks, readBoundedText, tooLarge } from './bounded-body.ts';
import { parseExactJson } from './exact-json.ts';
import type { TokenVerifier } from './token-verifier.ts';

/** Most bytes that a request's body may have. */
export const REQUEST_BODY_BYTES_MAX = 1024 * 1024;

/** Whoever sends nothing for so long has given up, or means harm. */
const STALL_MS = 60_000;

const JSON_TYPE = /^application\/([a-z0-9.+-]+\+)?json\s*(;|$)/i;
const BEARER = /^Bearer +([\w.~+/-]+=*) *$/i;
const ISSUES_SHOWN_MAX = 5;

/**
 * Whose request this is.
 * @throws VarveError TOKEN_MISSING, TOKEN_REFUSED
 */
export async function authenticate(verifier: TokenVerifier, headers: Headers): Promise<TokenClaims> {
  const authorization = headers.get('authorization');
  if (authorization === null) {
    throw new VarveError('precondition', 'TOKEN_MISSING', 'the request has no authorization header');
  }
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined) {
    throw new VarveError(
      'precondition',
      'TOKEN_REFUSED',
      'the authorization header is not of the form Bearer',
    );
  }
  return verifier.verify(token);
}

/**
 * Checks a value against a schema.
 * @param where the value comes from, for the message: path, query or body
 * @throws BadRequestError BAD_REQUEST, naming the fields
 */
export function checkRequestPart<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new BadRequestError('BAD_REQUEST', `the ${where} is wrong: ${describeIssues(result.error)}`);
}

/** The first few issues, each with the path to the field. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .flatMap((issue) => likelyIssues(issue))
    .slice(0, ISSUES_SHOWN_MAX)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
    .join('; ');
}

/** Of several forms that a value may have, the issues of that one which it fits best. */
function likelyIssues(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  let best = issue.errors[0] as readonly z.core.$ZodIssue[];
  for (const issues of issue.errors) if (issues.length < best.length) best = issues;
  return best.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

/**
 * Reads and checks a JSON body.
 * @throws BadRequestError MISSING_BODY, BAD_CONTENT_TYPE, BODY_TOO_LARGE, MALFORMED_JSON, BAD_REQUEST; VarveError
 *   ‘unavailable’ / BODY_STALLED
 */
export async function readJsonBody<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  isOptional: boolean,
  clock: Clock,
): Promise<z.output<Schema>> {
  const text = await readBody(request, clock);
  if (text === '') {
    if (isOptional) return checkRequestPart(schema, {}, 'body');
    throw new BadRequestError('MISSING_BODY', 'missing request body');
  }
  if (!JSON_TYPE.test(request.headers.get('content-type') ?? '')) {
    throw new BadRequestError('BAD_CONTENT_TYPE', 'the body must be of the type application/json');
  }
  return checkRequestPart(schema, parseExactJson(text), 'body');
}

/** @throws BadRequestError UNEXPECTED_BODY */
export async function refuseBody(request: Request, clock: Clock): Promise<void> {
  if ((await readBody(request, clock)) !== '') {
    throw new BadRequestError('UNEXPECTED_BODY', 'unexpected request body');
  }
}

/**
 * The bytes of a body, as they come.
 * @throws BadRequestError BODY_TOO_LARGE where that is announced
 */
export function openBody(request: Request, bytesMax: number, clock: Clock): AsyncIterable<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) throw tooLarge(bytesMax);
  return boundedChunks(request.body, { clock, bytesMax, stallMs: STALL_MS });
}

async function readBody(request: Request, clock: Clock): Promise<string> {
  return await readBoundedText(openBody(request, REQUEST_BODY_BYTES_MAX, clock), REQUEST_BODY_BYTES_MAX);
}
