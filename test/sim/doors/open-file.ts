import type { UpdatableFile } from '../../../src/io/files.ts';
import { traceLabel } from '../kernel-trace.ts';
import { crashWithin, never } from './crash.ts';
import { diskError } from './disk-errors.ts';
import type { DiskOperation } from './disk-faults.ts';
import type { DiskFile } from './disk-file.ts';
import { SECTOR_BYTES } from './pages.ts';
import type { CrashMoment, DoorIncarnation } from './world.ts';

const READ = traceLabel('read');
const READ_NOW = traceLabel('readNow');
const WRITE_NOW = traceLabel('writeNow');
const WRITE = traceLabel('write');
const RESIZE = traceLabel('resize');
const SYNC = traceLabel('sync');
const SYNC_FAILED = traceLabel('sync failed');

function checkRange(source: Uint8Array, start: number, length: number): void {
  if (start < 0 || length < 0 || start + length > source.length) {
    throw new RangeError(`${length} bytes from ${start} are not within a buffer of ${source.length}`);
  }
}

/** An open file of a simulated disk. `write` and `resize` happen when they end; a sync covers what was before it. */
export class OpenFile implements UpdatableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #incarnation: DoorIncarnation;
  readonly #file: DiskFile;
  #isClosed = false;
  #underWay = 0;
  #closeWaiters: (() => void)[] = [];

  constructor(incarnation: DoorIncarnation, path: string, file: DiskFile) {
    this.path = path;
    this.sizeBytes = file.sizeBytes;
    this.#incarnation = incarnation;
    this.#file = file;
    file.uses++;
  }

  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    this.#checkOpen();
    checkRange(target, start, length);
    return this.#later('read', READ, position, length, () =>
      this.#file.read(target, start, length, position),
    );
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    this.#checkOpen();
    checkRange(target, start, length);
    const incarnation = this.#incarnation;
    // What a dead process reads has no effect on anybody.
    if (!incarnation.isAlive) return 0;
    incarnation.kernel.note(incarnation.node.index, READ_NOW, position, length);
    if (incarnation.node.disk.faults.fails('read', this.path)) throw diskError('broken', this.path);
    return this.#file.read(target, start, length, position);
  }

  writeNow(source: Uint8Array, start: number, length: number, position: number): void {
    this.#checkOpen();
    checkRange(source, start, length);
    const incarnation = this.#incarnation;
    if (!incarnation.isAlive) return;
    const moment = incarnation.beginEffect();
    if (moment !== undefined) {
      crashWithin(incarnation, moment, () => this.#write(source, start, length, position, moment));
      return;
    }
    incarnation.kernel.note(incarnation.node.index, WRITE_NOW, position, length);
    if (incarnation.node.disk.faults.fails('write', this.path)) {
      this.#write(source, start, length, position, 'middle');
      throw diskError('broken', this.path);
    }
    this.#write(source, start, length, position);
  }

  async write(source: Uint8Array, start: number, length: number, position: number): Promise<void> {
    this.#checkOpen();
    checkRange(source, start, length);
    const action = (moment?: CrashMoment): void => this.#write(source, start, length, position, moment);
    if (this.#crashesHere(action)) return never();
    return this.#later('write', WRITE, position, length, action);
  }

  async resize(sizeBytes: number): Promise<void> {
    this.#checkOpen();
    const action = (): void => this.#file.resize(sizeBytes);
    if (this.#crashesHere(action)) return never();
    return this.#later('write', RESIZE, sizeBytes, 0, action);
  }

  async sync(): Promise<void> {
    this.#checkOpen();
    const incarnation = this.#incarnation;
    const { disk } = incarnation.node;
    const file = this.#file;
    // A crash in the middle of it is one that finds its writes un-synced, of which some may be left.
    if (this.#crashesHere((moment) => moment === 'after' && file.endSync(file.beginSync()))) return never();
    const under = file.beginSync();
    const endsUs = Math.max(file.syncEndsUs, incarnation.kernel.nowUs + disk.faults.drawUs('sync'));
    file.syncEndsUs = endsUs;
    return this.#at(endsUs, () => {
      const hasFailed = disk.faults.fails('sync', this.path);
      incarnation.kernel.note(
        incarnation.node.index,
        hasFailed ? SYNC_FAILED : SYNC,
        under.pins.length,
        under.sizeBytes,
      );
      if (!hasFailed) return file.endSync(under);
      file.failSync(under, disk.faults.random);
      throw diskError('broken', this.path);
    });
  }

  async close(): Promise<void> {
    if (!this.#incarnation.isAlive) return never();
    if (!this.#isClosed) {
      this.#isClosed = true;
      if (this.#underWay === 0) this.#incarnation.node.disk.letGo(this.#file);
    }
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => this.#closeWaiters.push(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error(`${this.path} is closed`);
  }

  #write(source: Uint8Array, start: number, length: number, position: number, moment?: CrashMoment): void {
    const { disk } = this.#incarnation.node;
    const { faults } = disk;
    if (faults.writeBackChance > 0 && faults.random.chance(faults.writeBackChance)) {
      this.#file.writeBack(faults.random);
    }
    let partBytes = length;
    if (moment === 'middle') {
      const end = position + faults.random.below(length + 1);
      partBytes = Math.max(0, end - (end % SECTOR_BYTES) - position);
    }
    if (this.#file.write(source, start, partBytes, position) < partBytes) throw diskError('full', this.path);
  }

  #crashesHere(action: (moment: CrashMoment) => unknown): boolean {
    const incarnation = this.#incarnation;
    if (!incarnation.isAlive) return true;
    const moment = incarnation.beginEffect();
    if (moment === undefined) return false;
    crashWithin(incarnation, moment, () => void action(moment));
    return true;
  }

  #later<Result>(
    operation: DiskOperation,
    label: number,
    first: number,
    second: number,
    action: () => Result,
  ): Promise<Result> {
    const { kernel, node } = this.#incarnation;
    const { faults } = node.disk;
    return this.#at(kernel.nowUs + faults.drawUs(operation), () => {
      kernel.note(node.index, label, first, second);
      if (faults.fails(operation, this.path)) throw diskError('broken', this.path);
      return action();
    });
  }

  #at<Result>(timeUs: number, action: () => Result): Promise<Result> {
    const incarnation = this.#incarnation;
    return new Promise((resolve, reject) => {
      if (!incarnation.isAlive) return;
      this.#underWay++;
      incarnation.kernel.at(incarnation, timeUs, () => {
        try {
          resolve(action());
        } catch (error) {
          reject(error);
        }
        if (--this.#underWay > 0 || !this.#isClosed) return;
        incarnation.node.disk.letGo(this.#file);
        for (const closed of this.#closeWaiters.splice(0)) closed();
      });
    });
  }
}
