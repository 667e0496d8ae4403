import { crc32cBulk } from '../base/crc32c-bulk.ts';
import { VarveError } from '../base/errors.ts';
import {
  FREE_SPACE_MAP_PART_BYTES,
  type FreeSpaceMapPart,
  freeSpaceMapFile,
  parseFreeSpaceMapPart,
} from '../contracts/auxiliary-path.ts';
import type { AuxiliaryObject } from '../contracts/auxiliary-stream.ts';
import type { FileStatus, Files } from '../io/files.ts';
import {
  parseDatabasePath,
  parseRelationFileName,
  RELATION_SEGMENT_BLOCKS,
  tablespaceVersionDirectory,
} from '../postgres/files/relation-file-name.ts';
import type { RelationLocator } from '../postgres/files/relation-locator.ts';
import type { PostgresVersion } from '../postgres/versions/version.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP } from '../postgres/wal/record-header.ts';
import {
  clearHeaders,
  clearTornPages,
  packPart,
  unpackPart,
  writeChecksums,
} from './free-space-map-content.ts';

const PART_BLOCKS: number = FREE_SPACE_MAP_PART_BYTES / BLOCK_BYTES;
/** In the place of a CRC: what storage has is of no use. */
const USELESS = -1;

export interface MapsPlace {
  readonly files: Files;
  /** The data directory. */
  readonly path: string;
  readonly version: PostgresVersion;
  readonly hasDataChecksums: boolean;
}

/** How a start finds its maps' files a place that the server can read. */
export interface MapsLayout {
  /** An empty directory in the file system of the data directory, which goes when they are laid out. */
  readonly directory: string;
  /** Gives all in it to the account that the server runs as. */
  giveAll(): Promise<void>;
  /** Whether there is such a relation, whose map is of use. */
  isWanted(relation: RelationLocator): boolean;
}

/** A file that is made, and not in its place yet. */
interface StagedMap {
  readonly path: string;
  readonly parts: [path: string, crc: number][];
}

/**
 * The free space maps of a server, in files as usual, and what storage has of them. No WAL has them: without them a server
 * extends relations that have room, and a plain VACUUM does not find it again. Any map is safe, however old or wrong.
 */
export class FreeSpaceMaps {
  readonly #place: MapsPlace;
  /** By path of the part: the CRC of its pages in storage. */
  readonly #stored = new Map<string, number>();
  /** By path of the file: what it was when storage had all of it. */
  readonly #seen = new Map<string, FileStatus>();
  /** Of the part that was given last. */
  #lastCrc = 0;
  readonly #unconfirmed = {
    stored: new Map<string, number | undefined>(),
    seen: new Map<string, FileStatus>(),
  };

  constructor(place: MapsPlace) {
    this.#place = place;
  }

  /**
   * Lays out what storage has. The server may run already: where it has made a map itself, that one stays.
   * @returns how many files were laid out
   */
  async layOut(objects: AsyncIterable<AuxiliaryObject>, layout: MapsLayout): Promise<number> {
    const { files, version } = this.#place;
    const staged = new Map<string, StagedMap>();
    for await (const { path, content } of objects) {
      const part = parseFreeSpaceMapPart(version, path);
      if (part === undefined || content === undefined) continue;
      const pages = layout.isWanted(part.relation) ? unpackPart(content) : undefined;
      if (pages === undefined) {
        this.#stored.set(path, USELESS);
        continue;
      }
      const name = freeSpaceMapFile(version, part);
      const map = staged.get(name) ?? { path: `${layout.directory}/${staged.size}`, parts: [] };
      staged.set(name, map);
      map.parts.push([path, crc32cBulk(pages)]);
      await this.#writePart(map.path, part, pages);
    }
    await layout.giveAll();
    let count = 0;
    for (const [name, map] of staged) if (await this.#putInPlace(name, map)) count++;
    await files.removeDirectory(layout.directory);
    return count;
  }

  async #writePart(path: string, { segment, part }: FreeSpaceMapPart, pages: Uint8Array): Promise<void> {
    const { files, hasDataChecksums } = this.#place;
    if (hasDataChecksums) writeChecksums(pages, firstBlock(segment, part));
    await using file = await files.openForUpdate(path);
    await file.write(pages, 0, pages.length, part * FREE_SPACE_MAP_PART_BYTES);
  }

  async #putInPlace(name: string, { path, parts }: StagedMap): Promise<boolean> {
    const { files, path: directory } = this.#place;
    for (const [part, crc] of parts) this.#stored.set(part, crc);
    const status = await files.stat(path);
    try {
      await files.link(path, `${directory}/${name}`);
    } catch (error) {
      // The server has made one itself, or has dropped the database.
      if (!isOf(error, 'FILE_EXISTS') && !isOf(error, 'FILE_NOT_FOUND')) throw error;
      return false;
    }
    this.#seen.set(name, status);
    return true;
  }

  /**
   * What storage is to be told: parts that have changed since it was told last, and what is of no use any more. After
   * `confirm` it has all that was given.
   */
  async *changes(): AsyncGenerator<AuxiliaryObject, void> {
    const { stored, seen } = this.#unconfirmed;
    stored.clear();
    seen.clear();
    const present = new Set<string>();
    for await (const name of this.#mapFiles()) {
      present.add(name);
      for await (const object of this.#changesOf(name)) {
        yield object;
        stored.set(object.path, object.content === undefined ? undefined : this.#lastCrc);
      }
    }
    for (const name of this.#seen.keys()) if (!present.has(name)) this.#seen.delete(name);
    for (const [path] of this.#stored) {
      if (present.has(path.slice(0, path.lastIndexOf('/')))) continue;
      yield { path, content: undefined };
      stored.set(path, undefined);
    }
  }

  /** Storage has what `changes` has given. */
  confirm(): void {
    for (const [path, crc] of this.#unconfirmed.stored) {
      if (crc === undefined) this.#stored.delete(path);
      else this.#stored.set(path, crc);
    }
    for (const [name, status] of this.#unconfirmed.seen) this.#seen.set(name, status);
  }

  async *#changesOf(name: string): AsyncGenerator<AuxiliaryObject, void> {
    const { files, path: directory, hasDataChecksums } = this.#place;
    try {
      const path = `${directory}/${name}`;
      const status = await files.stat(path);
      const before = this.#seen.get(name);
      if (before?.modifiedMs === status.modifiedMs && before.sizeBytes === status.sizeBytes) return;
      await using file = await files.open(path);
      const segment = parseRelationFileName(name.slice(name.lastIndexOf('/') + 1))?.segment ?? 0;
      let part = 0;
      for (let at = 0; at < file.sizeBytes; at += FREE_SPACE_MAP_PART_BYTES, part++) {
        const pages = new Uint8Array(Math.min(FREE_SPACE_MAP_PART_BYTES, file.sizeBytes - at));
        const length = await file.read(pages, 0, pages.length, at);
        const whole = pages.subarray(0, length - (length % BLOCK_BYTES));
        if (whole.length === 0) break;
        if (hasDataChecksums) clearTornPages(whole, firstBlock(segment, part));
        clearHeaders(whole);
        this.#lastCrc = crc32cBulk(whole);
        const partPath = `${name}/${part}`;
        if (this.#stored.get(partPath) !== this.#lastCrc) yield { path: partPath, content: packPart(whole) };
      }
      for (; this.#stored.has(`${name}/${part}`); part++)
        yield { path: `${name}/${part}`, content: undefined };
      this.#unconfirmed.seen.set(name, status);
    } catch (error) {
      // Its relation was dropped meanwhile.
      if (!isOf(error, 'FILE_NOT_FOUND')) throw error;
    }
  }

  /** Files of maps of relations that are neither temporary nor unlogged, relative to the data directory. */
  async *#mapFiles(): AsyncGenerator<string, void> {
    for (const directory of await this.#databaseDirectories()) {
      const names = await this.#list(directory);
      const all = new Set(names);
      for (const name of names) {
        if (!name.includes('_fsm')) continue;
        const file = parseRelationFileName(name);
        if (file?.fork !== FORK_FREE_SPACE_MAP || file.temporaryBackend !== undefined) continue;
        // Begins empty at each start.
        if (!all.has(`${file.relation}_init`)) yield `${directory}/${name}`;
      }
    }
  }

  async #databaseDirectories(): Promise<string[]> {
    const { version } = this.#place;
    const directories = ['global', ...(await this.#list('base')).map((name) => `base/${name}`)];
    for (const tablespace of await this.#list('pg_tblspc')) {
      const directory = `pg_tblspc/${tablespace}/${tablespaceVersionDirectory(version)}`;
      for (const name of await this.#list(directory)) directories.push(`${directory}/${name}`);
    }
    return directories.filter((directory) => parseDatabasePath(version, directory) !== undefined);
  }

  /** Nothing of a directory that is gone. */
  async #list(directory: string): Promise<string[]> {
    try {
      return await this.#place.files.list(`${this.#place.path}/${directory}`);
    } catch (error) {
      if (isOf(error, 'FILE_NOT_FOUND')) return [];
      throw error;
    }
  }
}

const firstBlock = (segment: number, part: number): number =>
  segment * RELATION_SEGMENT_BLOCKS + part * PART_BLOCKS;

const isOf = (error: unknown, code: string): boolean => error instanceof VarveError && error.code === code;
