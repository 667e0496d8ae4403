import { type ErrorKind, VarveError } from '../../base/errors.ts';

type Meaning = readonly [ErrorKind, string];

const BAD_ADDRESS: Meaning = ['bad-request', 'BAD_ADDRESS'];
const PERMISSION_DENIED: Meaning = ['precondition', 'PERMISSION_DENIED'];

/** What refusals to listen at an address or to connect to it mean. All others are CONNECTION_FAILED. */
const ADDRESS_REFUSALS: Readonly<Record<string, Meaning>> = {
  EADDRINUSE: ['conflict', 'ADDRESS_IN_USE'],
  EADDRNOTAVAIL: BAD_ADDRESS,
  EAFNOSUPPORT: BAD_ADDRESS,
  EINVAL: BAD_ADDRESS,
  ENAMETOOLONG: BAD_ADDRESS,
  ENOTDIR: BAD_ADDRESS,
  ERR_SOCKET_BAD_PORT: BAD_ADDRESS,
  ERR_INVALID_ARG_VALUE: BAD_ADDRESS,
  EACCES: PERMISSION_DENIED,
  EPERM: PERMISSION_DENIED,
  EROFS: PERMISSION_DENIED,
};

/** OpenSSL's names for why a certificate is not trusted; Node.js gives them as codes without a prefix. */
const CERTIFICATE_REFUSAL =
  /^(CERT|CRL|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH)/;

const isTlsFailure = (code: string): boolean =>
  code === 'EPROTO' || /^ERR_(TLS|SSL|OSSL)_/.test(code) || CERTIFICATE_REFUSAL.test(code);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : '';

/** Where several addresses of one name were tried, Node.js puts the messages into the parts of an empty one. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message.trim() : String(error);
}

function toVarveError([kind, code]: Meaning, peer: string, error: unknown): VarveError {
  return new VarveError(kind, code, `${peer}: ${messageOf(error)}`, {}, error);
}

/** The door's error where a connection could not be made, or nobody can listen. */
export function toAddressError(peer: string, error: unknown): VarveError {
  const code = codeOf(error);
  if (isTlsFailure(code)) return toVarveError(['bad-request', 'TLS_FAILED'], peer, error);
  return toVarveError(ADDRESS_REFUSALS[code] ?? ['unavailable', 'CONNECTION_FAILED'], peer, error);
}

/** The door's error where a connection that was there is so no more. */
export function toConnectionError(peer: string, error: unknown): VarveError {
  if (error instanceof VarveError) return error;
  const meaning: Meaning = isTlsFailure(codeOf(error))
    ? ['bad-request', 'TLS_FAILED']
    : ['unavailable', 'CONNECTION_LOST'];
  return toVarveError(meaning, peer, error);
}

export function cancelled(peer: string, signal: AbortSignal): VarveError {
  return new VarveError('cancelled', 'CANCELLED', `${peer}: nobody waits any more`, {}, signal.reason);
}
