import { SimNetwork } from './doors/network.ts';
import { EventLoop } from './kernel-loop.ts';
import { type NodeKernel, SimNode } from './kernel-node.ts';

export interface KernelOptions {
  /** How many trace entries are kept for reading. */
  readonly traceCapacity?: number;
}

/** A simulated world: one time, the nodes in it, and the network between them. */
export class Kernel extends EventLoop implements NodeKernel {
  readonly network: SimNetwork;
  readonly nodes: SimNode[] = [];

  constructor(seed: number, options: KernelOptions = {}) {
    super(seed, options.traceCapacity ?? 512);
    this.network = new SimNetwork(this, this.random.fork());
  }

  addNode(name: string): SimNode {
    if (this.nodes.some((node) => node.name === name)) throw new Error(`there is a node ${name} already`);
    const node = new SimNode(this, name, this.nodes.length, this.random.fork());
    this.nodes.push(node);
    return node;
  }

  traceLines(): string[] {
    return this.trace.lines(this.nodes.map((node) => node.name));
  }
}
