/** Values of options that several commands have. */
import { InvalidArgumentError } from 'commander';
import { VarveError } from '../base/errors.ts';
import { type Lsn, parseLsn } from '../base/lsn.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import type { Files } from '../io/files.ts';
import { type ObjectLocation, parseObjectLocation } from '../io/object-location.ts';
import { FORK_NAMES } from '../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { resourceManagers } from '../postgres/rmgr/resource-managers.ts';

const UINT32_MAX = 0xffff_ffff;
const TOKEN_BYTES_MAX = 64 * 1024;

/** A whole number of 32 bits, such as a block number or an xid. */
export function parseCount(text: string): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : UINT32_MAX + 1;
  if (value > UINT32_MAX) throw new InvalidArgumentError('It is not a whole number from 0 to 4294967295.');
  return value;
}

/** A TCP port; 0 takes a free one. */
export function parsePort(text: string): number {
  const port = parseCount(text);
  if (port > 0xffff) throw new InvalidArgumentError('The ports are 0 to 65535.');
  return port;
}

const MS_OF_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time such as `500ms`, `30s`, `15m`, `2h` or `1d`, in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Write a time with its unit: 500ms, 30s, 15m, 2h, 1d.');
  return Number(match[1]) * (MS_OF_UNIT[match[2] as string] as number);
}

/** `HOST:PORT`, or `[ADDRESS]:PORT` of IPv6. */
export function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 0xffff) {
    throw new InvalidArgumentError('Write HOST:PORT, such as 127.0.0.1:5454; port 0 takes a free one.');
  }
  return { host, port };
}

/** An id of 32 hexadecimal digits. */
export function parseIdOption<Id>(parse: (text: string) => Id, text: string): Id {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof VarveError) throw new InvalidArgumentError('Write 32 hexadecimal digits.');
    throw error;
  }
}

/** A token that is in a file. Read anew for each connection: tokens are replaced before they expire. */
export async function readToken(files: Files, path: string): Promise<string> {
  await using file = await files.open(path);
  const content = new Uint8Array(Math.min(file.sizeBytes, TOKEN_BYTES_MAX));
  const length = await file.read(content, 0, content.length, 0);
  return new TextDecoder().decode(content.subarray(0, length)).trim();
}

/** `http://HOST:PORT` or `https://HOST:PORT`, with nothing behind it. */
export function parseHttpUrl(text: string): string {
  const url = URL.parse(text);
  const isFit = url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '';
  if (isFit && url.username === '' && url.hash === '') return url.origin;
  throw new InvalidArgumentError('Write http://HOST:PORT or https://HOST:PORT.');
}

/** `ID=HOST:PORT`, several with commas between. */
export function parseSafekeepers(text: string): SafekeeperAddress[] {
  return text.split(',').map((item) => {
    const match = /^([0-9]{1,10})=(.+)$/.exec(item);
    if (match === null) throw new InvalidArgumentError('Write ID=HOST:PORT, several with commas between.');
    const { host, port } = parseAddress(match[2] as string);
    return { id: parseNodeId(match[1] as string), host, pgPort: port };
  });
}

/** The number of a node, from 1. */
export function parseNodeId(text: string): number {
  const id = parseCount(text);
  if (id === 0) throw new InvalidArgumentError('The numbers of nodes begin with 1.');
  return id;
}

export function parsePositive(text: string): number {
  const count = parseCount(text);
  if (count === 0) throw new InvalidArgumentError('At least 1 is needed.');
  return count;
}

/** `s3://bucket/prefix?…` or `file:///directory`. */
export function parseStore(text: string): ObjectLocation {
  try {
    return parseObjectLocation(text);
  } catch (error) {
    if (error instanceof VarveError) throw new InvalidArgumentError(error.reason);
    throw error;
  }
}

const BYTES_OF_UNIT: Readonly<Record<string, number>> = {
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
};

/** A size such as `64MB`, in units of 1024 as PostgreSQL has them, in bytes. */
export function parseSize(text: string): number {
  const match = /^(\d{1,9})(kB|MB|GB)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Write a size with its unit: 512kB, 64MB, 4GB.');
  return Number(match[1]) * (BYTES_OF_UNIT[match[2] as string] as number);
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function parseLsnOption(text: string): Lsn {
  try {
    return parseLsn(text);
  } catch (error) {
    if (error instanceof VarveError)
      throw new InvalidArgumentError('Write an LSN as two hexadecimal halves: 0/16B5A50.');
    throw error;
  }
}

export function parseRelation(text: string): RelationLocator {
  const parts = text.split('/');
  if (parts.length !== 3) throw new InvalidArgumentError('Write TABLESPACE/DATABASE/FILENODE: 1663/5/16384.');
  const [tablespace, database, relation] = parts.map(parseCount) as [number, number, number];
  return { tablespace, database, relation };
}

/** `SPC/DB/REL/BLOCK`. */
export function parsePage(text: string): { readonly relation: RelationLocator; readonly block: number } {
  const slash = text.lastIndexOf('/');
  if (text.split('/').length !== 4) {
    throw new InvalidArgumentError('Write TABLESPACE/DATABASE/FILENODE/BLOCK: 1663/5/16384/7.');
  }
  return { relation: parseRelation(text.slice(0, slash)), block: parseCount(text.slice(slash + 1)) };
}

export function parseFork(text: string): number {
  const fork = (FORK_NAMES as readonly string[]).indexOf(text);
  if (fork < 0) throw new InvalidArgumentError(`The forks are ${FORK_NAMES.join(', ')}.`);
  return fork;
}

export function parseResourceManager(text: string): number {
  const found = resourceManagers.find(({ name }) => name.toLowerCase() === text.toLowerCase());
  if (found === undefined) {
    throw new InvalidArgumentError(
      `The resource managers are ${resourceManagers.map(({ name }) => name).join(', ')}.`,
    );
  }
  return found.id;
}
