import { crc32cWasmBase64 } from './crc32c-wasm.ts';
import { AssertionError } from './errors.ts';

/** [0, 16448) holds the module's tables and masks. */
const DATA_START = 16 * 256 * 4 + 64;
const WASM_PAGE_BYTES = 65536;
const MEMORY_PAGES = 2;

interface CrcModule {
  initialize(): void;
  continueCrc(previous: number, pointer: number, length: number): number;
}

const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
const workspace = new Uint8Array(memory.buffer, DATA_START, MEMORY_PAGES * WASM_PAGE_BYTES - DATA_START);
let loaded: CrcModule | undefined;

function load(): CrcModule {
  const binary = Uint8Array.from(atob(crc32cWasmBase64), (char) => char.charCodeAt(0));
  const abort = (): never => {
    throw new AssertionError('the CRC module aborted');
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { memory, abort } });
  const module = instance.exports as unknown as CrcModule;
  module.initialize();
  return module;
}

/**
 * As `crc32c` in crc32c.ts, for blocks of some KiB and more: the bytes are copied to where WebAssembly can read them,
 * and taken sixteen at a time.
 */
export function crc32cBulk(bytes: Uint8Array, start = 0, end: number = bytes.length, previous = 0): number {
  loaded ??= load();
  let crc = previous;
  for (let at = start; at < end; ) {
    const length = Math.min(end - at, workspace.length);
    workspace.set(bytes.subarray(at, at + length));
    crc = loaded.continueCrc(crc, DATA_START, length);
    at += length;
  }
  return crc >>> 0;
}
