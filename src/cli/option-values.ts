/** Values of options that several commands have. */
import { InvalidArgumentError } from 'commander';
import { VarveError } from '../base/errors.ts';
import { type Lsn, parseLsn } from '../base/lsn.ts';
import { FORK_NAMES } from '../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import { resourceManagers } from '../postgres/rmgr/resource-managers.ts';

const UINT32_MAX = 0xffff_ffff;

/** A whole number of 32 bits, such as a block number or an xid. */
export function parseCount(text: string): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : UINT32_MAX + 1;
  if (value > UINT32_MAX) throw new InvalidArgumentError('It is not a whole number from 0 to 4294967295.');
  return value;
}

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
