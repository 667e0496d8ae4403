import { VarveError } from '../base/errors.ts';

/** What a log line shows in place of a secret. */
export const MASKED = '[masked]';

const SECRET_NAME =
  /^(.*[-_])?(authorization|cookie|token|password|passwd|secret|private[-_]?key|access[-_]?key|credentials?)$/i;
const SECRET_CAMEL = /(Authorization|Token|Password|Secret|PrivateKey|AccessKey|Credentials?)$/;
/** A JSON web token: two Base64url parts that begin like a JSON object, and a signature. */
const JSON_WEB_TOKEN = /\beyJ[\w-]{1,2048}\.eyJ[\w-]{1,4096}\.[\w-]*/g;
/** The password of a connection string, of both forms. What repeats is bounded, so that no text takes long. */
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]{0,31}:\/\/[^\s/:@]*:)[^\s/]+(@)/gi;
const KEYWORD_PASSWORD = /(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)/gi;

const TEXT_LENGTH_MAX = 8192;
const DEPTH_MAX = 5;
const ENTRIES_MAX = 100;

/** Takes out of a text what looks like a token or a password. */
export function sanitizeText(text: string): string {
  const cut = text.length > TEXT_LENGTH_MAX ? `${text.slice(0, TEXT_LENGTH_MAX)}…` : text;
  return cut
    .replace(JSON_WEB_TOKEN, MASKED)
    .replace(URL_PASSWORD, `$1${MASKED}$2`)
    .replace(KEYWORD_PASSWORD, `$1${MASKED}`);
}

/**
 * Makes of a log line's fields what JSON can say, of bounded depth and size. What is named like a secret is masked,
 * wherever it stands. Errors become their kind, code, message, place, stack and cause.
 */
export function sanitizeFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return sanitizeEntries(Object.entries(fields), 0);
}

function sanitizeEntries(entries: readonly (readonly [string, unknown])[], depth: number) {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of entries.slice(0, ENTRIES_MAX)) {
    if (value === undefined) continue;
    plain[name] =
      SECRET_NAME.test(name) || SECRET_CAMEL.test(name) ? MASKED : sanitizeValue(value, depth + 1);
  }
  return plain;
}

function sanitizeValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return sanitizeText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return value;
  if (typeof value !== 'object') return typeof value;
  if (depth > DEPTH_MAX) return '…';
  if (value instanceof Error) return describeError(value, depth);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return value.slice(0, ENTRIES_MAX).map((item) => sanitizeValue(item, depth + 1));
  return sanitizeEntries(Object.entries(value), depth);
}

function describeError(error: Error, depth: number): Record<string, unknown> {
  const isExpected = error instanceof VarveError && error.kind !== 'assertion';
  return {
    name: error.name,
    ...(error instanceof VarveError
      ? { kind: error.kind, code: error.code, place: sanitizeValue(error.place, depth + 1) }
      : {}),
    message: sanitizeText(error.message),
    // Where an expected error was made says nothing that its code does not.
    ...(isExpected || error.stack === undefined ? {} : { stack: sanitizeText(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: sanitizeValue(error.cause, depth + 1) }),
  };
}
