import type {
  FileStatus,
  FileSystemSpace,
  Files,
  ReadableFile,
  UpdatableFile,
} from '../../../src/io/files.ts';
import { traceLabel } from '../kernel-trace.ts';
import { crashWithin, never } from './crash.ts';
import type { Disk } from './disk.ts';
import { DiskDirectory } from './disk-directory.ts';
import { diskError } from './disk-errors.ts';
import type { DiskOperation } from './disk-faults.ts';
import type { DiskFile } from './disk-file.ts';
import { OpenFile } from './open-file.ts';
import type { CrashMoment, DoorIncarnation } from './world.ts';

const NAMES = traceLabel('names');
const LOOK = traceLabel('look');

/** The simulated side of the files door. */
export class SimFiles implements Files {
  readonly #incarnation: DoorIncarnation;
  readonly #disk: Disk;

  constructor(incarnation: DoorIncarnation) {
    this.#incarnation = incarnation;
    this.#disk = incarnation.node.disk;
  }

  stat(path: string): Promise<FileStatus> {
    return this.#look(path, () => {
      const { entry } = this.#disk.find(path);
      if (entry === undefined) throw diskError('not-found', path);
      if (entry instanceof DiskDirectory)
        return { kind: 'directory', sizeBytes: 0, modifiedMs: entry.modifiedMs };
      return { kind: 'file', sizeBytes: entry.sizeBytes, modifiedMs: entry.modifiedMs };
    });
  }

  list(directory: string): Promise<string[]> {
    return this.#look(directory, () => [...this.#disk.directoryAt(directory).entries.keys()].sort());
  }

  open(path: string): Promise<ReadableFile> {
    return this.#look(path, () => {
      const { entry } = this.#disk.find(path);
      if (entry === undefined) throw diskError('not-found', path);
      return this.#opened(path, entry);
    });
  }

  create(path: string, content: Uint8Array): Promise<void> {
    return this.#change(path, (moment) => {
      const place = this.#disk.find(path);
      if (place.entry !== undefined) throw diskError('exists', path);
      const file = this.#disk.makeFile(place);
      const length = moment === 'middle' ? content.length >> 1 : content.length;
      if (file.write(content, 0, length, 0) < length) throw diskError('full', path);
    });
  }

  openForUpdate(path: string): Promise<UpdatableFile> {
    return this.#change(path, (moment) => {
      const place = this.#disk.find(path);
      const entry = place.entry ?? this.#disk.makeFile(place);
      if (moment !== undefined) return never<UpdatableFile>();
      return this.#opened(path, entry);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change(from, () => this.#disk.rename(from, to));
  }

  link(from: string, to: string): Promise<void> {
    return this.#change(from, () => this.#disk.link(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#change(path, () => this.#disk.removeFile(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#change(path, () => this.#disk.makeDirectory(path));
  }

  removeDirectory(path: string): Promise<void> {
    return this.#change(path, (moment) => {
      const atMost = moment === 'middle' ? this.#disk.faults.random.below(8) : Number.POSITIVE_INFINITY;
      this.#disk.removeDirectory(path, atMost);
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#change(path, () => this.#disk.names.persist(this.#disk.directoryAt(path)), 'sync');
  }

  space(path: string): Promise<FileSystemSpace> {
    return this.#look(path, () => {
      if (this.#disk.find(path).entry === undefined) throw diskError('not-found', path);
      const { capacityBytes, usedBytes } = this.#disk;
      return { capacityBytes, availableBytes: Math.max(0, capacityBytes - usedBytes) };
    });
  }

  #opened(path: string, entry: DiskFile | DiskDirectory): OpenFile {
    if (entry instanceof DiskDirectory) throw diskError('directory', path);
    return new OpenFile(this.#incarnation, path, entry);
  }

  #look<Result>(path: string, action: () => Result): Promise<Result> {
    return this.#later(path, LOOK, 'read', action);
  }

  /** A change of names: an effect, at which the node may crash. */
  #change<Result>(
    path: string,
    action: (moment?: CrashMoment) => Result | Promise<Result>,
    operation: DiskOperation = 'names',
  ): Promise<Result> {
    const incarnation = this.#incarnation;
    if (!incarnation.isAlive) return never();
    const moment = incarnation.beginEffect();
    if (moment === undefined) return this.#later(path, NAMES, operation, action);
    crashWithin(incarnation, moment, () => void action(moment));
    return never();
  }

  /** The action happens when the operation ends, or not at all. */
  #later<Result>(
    path: string,
    label: number,
    operation: DiskOperation,
    action: () => Result | Promise<Result>,
  ): Promise<Result> {
    const incarnation = this.#incarnation;
    const { faults } = this.#disk;
    return new Promise((resolve, reject) => {
      if (!incarnation.isAlive) return;
      const { kernel, node } = incarnation;
      kernel.after(incarnation, faults.drawUs(operation), () => {
        kernel.note(node.index, label, incarnation.effectCount);
        try {
          if (faults.fails(operation, path)) throw diskError('broken', path);
          resolve(action());
        } catch (error) {
          reject(error);
        }
      });
    });
  }
}
