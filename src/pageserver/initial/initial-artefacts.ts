import { VarveError } from '../../base/errors.ts';
import { untilCancelled } from '../../io/cancelled.ts';
import type { Files } from '../../io/files.ts';
import type { ObjectStore } from '../../io/objects.ts';
import { replaceFile } from '../../io/replace-file.ts';
import type { Logger } from '../../observe/log.ts';
import { LAYER_FORMAT_VERSION } from '../layers/format/layout.ts';
import {
  ARTEFACT_BYTES_MAX,
  decodeArtefact,
  encodeArtefact,
  type InitialArtefact,
  makeArtefact,
} from './initial-artefact.ts';
import type { InitialClusters } from './initial-clusters.ts';

const PREFIX = 'initial-clusters/';

/** The key below which the store keeps the artefact of a major, and its name here. A layer of another format is another. */
const nameOf = (major: number): string => `${major}-layers-${LAYER_FORMAT_VERSION}`;

export interface ArtefactDoors {
  readonly files: Files;
  readonly objects: ObjectStore;
  readonly logger: Logger;
  readonly clusters: InitialClusters;
}

/**
 * What new timelines are made of, one for each major: made once, then kept in memory, on the disk, and in the store, where
 * other pageservers find it.
 */
export class InitialArtefacts {
  readonly #doors: ArtefactDoors;
  readonly #directory: string;
  readonly #known = new Map<number, Promise<InitialArtefact>>();
  /** Given when this is closing. */
  readonly #signal: AbortSignal;

  /** @param directory its own; it must exist */
  constructor(doors: ArtefactDoors, directory: string, signal: AbortSignal) {
    this.#doors = doors;
    this.#directory = directory;
    this.#signal = signal;
  }

  /** @throws as InitialClusters.withCluster, importCluster; what the store fails of */
  async get(major: number, signal: AbortSignal): Promise<InitialArtefact> {
    let found = this.#known.get(major);
    if (found === undefined) {
      found = this.#find(major);
      this.#known.set(major, found);
      // What has failed is tried again by who comes next.
      found.catch(() => this.#known.delete(major));
    }
    return await untilCancelled(signal, found);
  }

  async #find(major: number): Promise<InitialArtefact> {
    const name = nameOf(major);
    const local = await this.#decode(name, await this.#readLocal(name));
    if (local !== undefined) return local;
    const stored = await this.#readStored(name);
    const artefact = (await this.#decode(name, stored)) ?? (await this.#make(major, stored !== undefined));
    await replaceFile(this.#doors.files, this.#directory, name, encodeArtefact(artefact));
    return artefact;
  }

  /** @param isDamaged there is one in the store that cannot be used, and is written over */
  async #make(major: number, isDamaged: boolean): Promise<InitialArtefact> {
    const { clusters, files, objects, logger } = this.#doors;
    const name = nameOf(major);
    logger.info('A cluster is made that new timelines begin with', { major });
    const made = await clusters.withCluster(major, this.#signal, (cluster) =>
      makeArtefact(cluster, files, this.#directory),
    );
    const options = { signal: this.#signal, onlyIfAbsent: !isDamaged };
    try {
      await objects.put(`${PREFIX}${name}`, encodeArtefact(made), options);
      return made;
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'OBJECT_EXISTS') throw error;
      // Another pageserver was quicker. All are to be made of the same one.
      return (await this.#decode(name, await this.#readStored(name))) ?? made;
    }
  }

  /** undefined: there is none, or none that can be used. */
  async #decode(name: string, bytes: Uint8Array | undefined): Promise<InitialArtefact | undefined> {
    if (bytes === undefined) return undefined;
    try {
      return decodeArtefact(bytes, `${PREFIX}${name}`);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      this.#doors.logger.warn('What new timelines are to begin with is damaged, and is made again', {
        error,
      });
      return undefined;
    }
  }

  async #readStored(name: string): Promise<Uint8Array | undefined> {
    try {
      const options = { signal: this.#signal, end: ARTEFACT_BYTES_MAX + 1 };
      return await this.#doors.objects.get(`${PREFIX}${name}`, options);
    } catch (error) {
      if (error instanceof VarveError && error.code === 'OBJECT_NOT_FOUND') return undefined;
      throw error;
    }
  }

  async #readLocal(name: string): Promise<Uint8Array | undefined> {
    try {
      await using file = await this.#doors.files.open(`${this.#directory}/${name}`);
      const bytes = new Uint8Array(Math.min(file.sizeBytes, ARTEFACT_BYTES_MAX + 1));
      return bytes.subarray(0, await file.read(bytes, 0, bytes.length, 0));
    } catch (error) {
      if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
      throw error;
    }
  }
}
