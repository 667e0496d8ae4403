import { fileURLToPath, pathToFileURL } from 'node:url';
import { BadRequestError } from '../base/errors.ts';
import { checkObjectKey } from './object-key.ts';

/** Where objects are kept. */
export type ObjectLocation = DirectoryLocation | S3Location;

export interface DirectoryLocation {
  readonly kind: 'directory';
  /** Absolute, without a `/` at its end. */
  readonly path: string;
}

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** What all keys begin with, without the `/` that follows; may be empty. */
  readonly prefix: string;
  /** Of a store that is not Amazon's, such as `http://127.0.0.1:9000`. */
  readonly endpoint: string | undefined;
  /** undefined: what the environment says (AWS_REGION, the profile). */
  readonly region: string | undefined;
  /** The bucket's name stands in the path and not in the host's name: the rule wherever there is an endpoint. */
  readonly isPathStyle: boolean;
}

const S3_PARAMETERS = ['endpoint', 'region', 'path-style'];
const BUCKET_NAME = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const DOTS = /^[^?#]*\/(\.|%2e){1,2}(\/|\?|#|$)/i;
const REGION = /^[a-z0-9-]{1,64}$/;

// The text is not quoted: somebody may have written a secret into it.
const bad = (reason: string): BadRequestError => new BadRequestError('BAD_OBJECT_LOCATION', reason);

/**
 * Reads where objects are to be kept: `s3://bucket/prefix?endpoint=…&region=…&path-style=true|false`, of which all but
 * the bucket may be left out, or `file:///directory`.
 * @throws BadRequestError BAD_OBJECT_LOCATION
 */
export function parseObjectLocation(text: string): ObjectLocation {
  // The URL would come without them, and lead elsewhere than it seems to.
  if (DOTS.test(text)) throw bad('a name in the path is . or ..');
  const url = URL.parse(text);
  if (url === null) throw bad('this is no URL: an object store is s3://bucket/prefix or file:///directory');
  if (url.username !== '' || url.password !== '') {
    throw bad('an object store’s URL holds no credentials: give them in the environment');
  }
  if (url.hash !== '') throw bad('an object store’s URL has no #');
  if (url.protocol === 's3:') return parseS3(url);
  if (url.protocol === 'file:') return parseFile(url);
  throw bad(`${url.protocol}// is no object store: it is s3:// or file://`);
}

/** As parseObjectLocation reads it. */
export function formatObjectLocation(location: ObjectLocation): string {
  if (location.kind === 'directory') return pathToFileURL(location.path).href;
  const { bucket, prefix, endpoint, region, isPathStyle } = location;
  const url = new URL(`s3://${bucket}`);
  url.pathname = prefix.split('/').map(encodeURIComponent).join('/');
  if (endpoint !== undefined) url.searchParams.set('endpoint', endpoint);
  if (region !== undefined) url.searchParams.set('region', region);
  url.searchParams.set('path-style', String(isPathStyle));
  return url.href;
}

function parseFile(url: URL): DirectoryLocation {
  if (url.host !== '') throw bad('the directory’s URL names a host: file:///directory has three slashes');
  if (url.search !== '') throw bad('a directory has no parameters');
  const path = decode(() => fileURLToPath(url)).replace(/\/+$/, '');
  if (path === '') throw bad('the root directory is no place for objects');
  if (path.includes('\0')) throw bad('a directory’s name has no zero byte');
  return { kind: 'directory', path };
}

function parseS3(url: URL): S3Location {
  if (!BUCKET_NAME.test(url.host)) throw bad('this is no name of a bucket');
  const prefix = decode(() => decodeURIComponent(url.pathname)).replace(/^\/|\/$/g, '');
  if (prefix !== '') checkPrefix(prefix);
  for (const name of url.searchParams.keys()) {
    if (!S3_PARAMETERS.includes(name)) throw bad(`there is no parameter of this name: ${name.slice(0, 64)}`);
    if (url.searchParams.getAll(name).length > 1) throw bad(`${name} is there twice`);
  }
  const region = url.searchParams.get('region') ?? undefined;
  if (region !== undefined && !REGION.test(region)) throw bad('this is no name of a region');
  const endpoint = parseEndpoint(url.searchParams.get('endpoint'));
  const isPathStyle = parsePathStyle(url.searchParams.get('path-style'), endpoint !== undefined);
  return { kind: 's3', bucket: url.host, prefix, endpoint, region, isPathStyle };
}

function checkPrefix(prefix: string): void {
  try {
    checkObjectKey(prefix);
  } catch (error) {
    if (!(error instanceof BadRequestError)) throw error;
    throw new BadRequestError('BAD_OBJECT_LOCATION', `the prefix: ${error.reason}`, {}, error);
  }
}

function parseEndpoint(text: string | null): string | undefined {
  if (text === null) return undefined;
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw bad('the endpoint is no URL that begins with http:// or https://');
  }
  if (url.username !== '' || url.password !== '') throw bad('the endpoint holds no credentials');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw bad('the endpoint has no path');
  return url.origin;
}

function parsePathStyle(text: string | null, otherwise: boolean): boolean {
  if (text === null) return otherwise;
  if (text !== 'true' && text !== 'false') throw bad('path-style is true or false');
  return text === 'true';
}

function decode(action: () => string): string {
  try {
    return action();
  } catch (error) {
    throw new BadRequestError('BAD_OBJECT_LOCATION', 'an escape with % cannot be read', {}, error);
  }
}
