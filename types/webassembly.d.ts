// The part of the WebAssembly API that Varve uses. TypeScript declares it only together with the whole DOM
// (lib.dom), and neither do Node's types.
declare namespace WebAssembly {
  interface MemoryDescriptor {
    /** In pages of 64 KiB. */
    initial: number;
    /** In pages of 64 KiB. */
    maximum?: number;
  }

  class Memory {
    constructor(descriptor: MemoryDescriptor);
    /** Replaced by a new one, the old one detached, by each `grow`. */
    readonly buffer: ArrayBuffer;
    /** Adds pages of 64 KiB, and returns how many there were. Throws a RangeError where it cannot. */
    grow(pages: number): number;
  }

  class Module {
    constructor(bytes: ArrayBuffer | ArrayBufferView<ArrayBuffer>);
  }

  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }
}
