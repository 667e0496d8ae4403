import { crc32cWasmBase64 } from '../../base/crc32c-wasm.ts';
import { AssertionError } from '../../base/errors.ts';

/** [0, 16448) holds the CRC tables and masks. */
const TABLES_BYTES = 16 * 256 * 4 + 64;
const PAGE_BYTES = 65536;

/** Most records that one batch can hold. */
export const BATCH_RECORDS_MAX = 8192;
/** Where the index of record offsets (u32 each) stands. */
const INDEX_START = TABLES_BYTES;
/** Where WAL bytes may begin. */
export const DATA_START: number = INDEX_START + BATCH_RECORDS_MAX * 4;
const DATA_BYTES_INITIAL = 512 * 1024;
/** A workspace that a huge record has grown beyond this is given up for a fresh one when it is next empty. */
const RETAINED_BYTES_MAX = 8 * 1024 * 1024;

interface ScanModule {
  initialize(): void;
  verifyRecords(offsets: number, count: number): number;
}

let compiled: WebAssembly.Module | undefined;

function instantiate(memory: WebAssembly.Memory): ScanModule {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(crc32cWasmBase64), (char) => char.charCodeAt(0)));
  const instance = new WebAssembly.Instance(compiled, {
    env: {
      memory,
      abort: () => {
        throw new AssertionError('the CRC module aborted');
      },
    },
  });
  const module = instance.exports as unknown as ScanModule;
  module.initialize();
  return module;
}

/**
 * Memory in which WAL records lie in one piece, without the page headers between them, so that their CRCs can
 * be checked in bulk by WebAssembly. Any number of readers of one thread may share a workspace, one batch at a
 * time: what a reader shows is valid until the next call of a reader on the same workspace.
 */
export class WalWorkspace {
  bytes: Uint8Array;
  view: DataView;
  /** Offsets in `bytes` of the records of the current batch. */
  offsets: Uint32Array;
  /** LSN of the first byte of each of them. */
  readonly startLsns: Float64Array = new Float64Array(BATCH_RECORDS_MAX);
  /** First aligned LSN past each of them. */
  readonly endLsns: Float64Array = new Float64Array(BATCH_RECORDS_MAX);
  /** The reader whose batch is in here. */
  owner: object | undefined = undefined;
  #memory: WebAssembly.Memory;
  #module: ScanModule;

  constructor() {
    this.#memory = new WebAssembly.Memory({
      initial: Math.ceil((DATA_START + DATA_BYTES_INITIAL) / PAGE_BYTES),
    });
    this.#module = instantiate(this.#memory);
    this.bytes = new Uint8Array(this.#memory.buffer);
    this.view = new DataView(this.#memory.buffer);
    this.offsets = new Uint32Array(this.#memory.buffer, INDEX_START, BATCH_RECORDS_MAX);
  }

  /** Makes room for bytes up to `end`, keeping what is there. `bytes`, `view` and `offsets` may be new afterwards. */
  reserve(end: number): void {
    if (end <= this.bytes.length) return;
    const wanted = Math.max(end, Math.min(this.bytes.length * 2, this.bytes.length + 64 * 1024 * 1024));
    this.#memory.grow(Math.ceil((wanted - this.bytes.length) / PAGE_BYTES));
    this.#refresh();
  }

  /** To be called when nothing in here is needed any more: gives memory back that a huge record has taken. */
  trim(): void {
    if (this.bytes.length <= RETAINED_BYTES_MAX) return;
    this.#memory = new WebAssembly.Memory({
      initial: Math.ceil((DATA_START + DATA_BYTES_INITIAL) / PAGE_BYTES),
    });
    this.#module = instantiate(this.#memory);
    this.#refresh();
  }

  /**
   * Index of the first of the `count` records in `offsets` whose CRC is wrong, or `count`. Each must lie
   * within `bytes` and announce a total length of at least 24.
   */
  verify(count: number): number {
    return this.#module.verifyRecords(INDEX_START, count);
  }

  #refresh(): void {
    this.bytes = new Uint8Array(this.#memory.buffer);
    this.view = new DataView(this.#memory.buffer);
    this.offsets = new Uint32Array(this.#memory.buffer, INDEX_START, BATCH_RECORDS_MAX);
  }
}

/** So many workspaces that nobody uses are kept. */
const FREE_MAX = 4;
const free: WalWorkspace[] = [];

/**
 * A workspace for who reads a batch and waits for others within it, and so cannot share one. Whoever is through with all
 * its batches gives it back: making one costs a WebAssembly memory.
 */
export const takeWorkspace = (): WalWorkspace => free.pop() ?? new WalWorkspace();

/** Nothing that lies in it is used any more. */
export function giveWorkspace(workspace: WalWorkspace): void {
  workspace.owner = undefined;
  workspace.trim();
  if (free.length < FREE_MAX) free.push(workspace);
}
