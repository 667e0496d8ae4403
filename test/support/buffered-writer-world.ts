import { Gate } from '../../src/base/gate.ts';
import type { UpdatableFile } from '../../src/io/files.ts';
import { RetryDelay } from '../../src/io/retry-delay.ts';
import { createJsonLogger } from '../../src/observe/log.ts';
import { BufferedWriter, type FlushControl } from '../../src/pageserver/layers/buffered-writer.ts';
import { Kernel } from '../sim/kernel.ts';
import type { SimNode } from '../sim/kernel-node.ts';
import { MemoryFile } from './memory-file.ts';

export const CAP = 4096;

export interface WriterWorld<File extends UpdatableFile> {
  readonly kernel: Kernel;
  readonly node: SimNode;
  readonly file: File;
  readonly gate: Gate;
  readonly cancel: AbortController;
  readonly writer: BufferedWriter;
  /** What was logged. */
  readonly lines: Record<string, unknown>[];
}

interface WorldOptions {
  readonly seed?: number;
  readonly capBytes?: number;
  readonly control?: FlushControl;
  readonly retryMs?: readonly [minMs: number, maxMs: number];
}

/** A writer on a file in memory, in a simulated world. */
export function makeWriter(options: WorldOptions = {}): WriterWorld<MemoryFile> {
  const node = new Kernel(options.seed ?? 1).addNode('node');
  return makeWriterOn(node, new MemoryFile(), options);
}

/** A writer on a file that is there already, in the life of a simulated node. */
export function makeWriterOn<File extends UpdatableFile>(
  node: SimNode,
  file: File,
  options: WorldOptions = {},
): WriterWorld<File> {
  const { clock, random } = (node.incarnation ?? node.start(() => undefined)).doors;
  const gate = new Gate('the timeline');
  const cancel = new AbortController();
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const [minMs, maxMs] = options.retryMs ?? [10, 1000];
  const writer = new BufferedWriter({
    file,
    capBytes: options.capBytes ?? CAP,
    signal: cancel.signal,
    pass: gate.enter(),
    clock,
    retryDelay: new RetryDelay({ minMs, maxMs }, random),
    log: createJsonLogger({ level: 'info', clock, destination }).child({ tenant: 'ten', timeline: 'tim' }),
    ...(options.control === undefined ? {} : { control: options.control }),
  });
  return { kernel: node.kernel as Kernel, node, file, gate, cancel, writer, lines };
}

/** Bytes of which no two neighbouring kilobytes are alike. */
export function patternOf(lengthBytes: number, first = 0): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  for (let index = 0; index < lengthBytes; index++)
    bytes[index] = (index * 7 + (index >> 8) * 13 + first) & 0xff;
  return bytes;
}

/** Holds the writes of a writer at either side of each. */
export class HoldingControl implements FlushControl {
  readonly #reached = new Map<string, () => void>();
  readonly #released = new Map<string, () => void>();
  readonly #held: ReadonlySet<string>;
  /** What was passed, in order, as `before 0`. */
  readonly passed: string[] = [];

  /** @param held as `before 0`, `after 4096`: side and position */
  constructor(...held: readonly string[]) {
    this.#held = new Set(held);
  }

  beforeWrite(position: number): Promise<void> {
    return this.#pass(`before ${position}`);
  }

  afterWrite(position: number): Promise<void> {
    return this.#pass(`after ${position}`);
  }

  /** Resolves when the write has come there. */
  reached(place: string): Promise<void> {
    if (this.passed.includes(place)) return Promise.resolve();
    return new Promise((resolve) => this.#reached.set(place, resolve));
  }

  release(place: string): void {
    const release = this.#released.get(place);
    if (release === undefined) throw new Error(`nothing is held ${place}`);
    release();
  }

  async #pass(place: string): Promise<void> {
    this.passed.push(place);
    this.#reached.get(place)?.();
    if (this.#held.has(place)) await new Promise<void>((resolve) => this.#released.set(place, resolve));
  }
}
