import type { SimNode } from '../kernel-node.ts';
import { traceLabel } from '../kernel-trace.ts';
import type { Cluster } from './cluster.ts';
import type { ComputeNode } from './compute-node.ts';
import type { Fault } from './faults.ts';
import { probe } from './probe.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { TENANT, TIMELINE } from './timeline-identity.ts';

/** Microseconds that a sync of a healthy disk takes at most, but for its tail. */
const SYNC_MAX_US = 2000;

const FAULT = traceLabel('fault');
const PAGE_BYTES = 4096;

/** Plans all faults. What they do to the world is undone when their time is over, or by `heal`. */
export function plan(cluster: Cluster, faults: readonly Fault[]): void {
  for (const [index, fault] of faults.entries()) {
    cluster.kernel.after(undefined, fault.atMs * 1000, () => {
      if (cluster.isHealing) return;
      cluster.kernel.note(-1, FAULT, index);
      inject(cluster, fault);
    });
  }
}

function inject(cluster: Cluster, fault: Fault): void {
  const { kernel, safekeepers, computes } = cluster;
  const { network } = kernel;
  const nodes = [...safekeepers, ...computes].map(({ node }) => node);
  const nodeAt = (index: number): SimNode => nodes[index] as SimNode;
  const safekeeperAt = (index: number): SafekeeperNode => safekeepers[index] as SafekeeperNode;
  const later = (forMs: number, action: () => void): void => {
    kernel.after(undefined, forMs * 1000, () => {
      if (!cluster.isHealing) action();
    });
  };
  switch (fault.kind) {
    case 'crash': {
      const { crash: kind, survival, effects, moment } = fault;
      if (effects === 0) nodeAt(fault.node).crash({ kind, survival });
      else if (nodeAt(fault.node).isAlive)
        nodeAt(fault.node).crashAtEffect(effects, moment, { kind, survival });
      break;
    }
    case 'crash-after-election': {
      const { effects, moment, crash: kind, survival } = fault;
      const safekeeper = safekeeperAt(fault.node);
      safekeeper.onFollowed = () => safekeeper.node.crashAtEffect(effects, moment, { kind, survival });
      break;
    }
    case 'crash-twice': {
      const safekeeper = safekeeperAt(fault.node);
      safekeeper.node.crash({ kind: 'kill' });
      safekeeper.boot();
      later(fault.afterMs, () => safekeeper.node.crash({ kind: 'power', survival: 'nothing' }));
      break;
    }
    case 'power-cut':
      for (const { node } of safekeepers) node.crash({ kind: 'power', survival: fault.survival });
      break;
    case 'block': {
      const [from, to] = [nodeAt(fault.from), nodeAt(fault.to)];
      network.block(from, to);
      if (!fault.isOneWay) network.block(to, from);
      later(fault.forMs, () => {
        network.heal(from, to);
        network.heal(to, from);
      });
      break;
    }
    case 'isolate': {
      const node = nodeAt(fault.node);
      const both = (action: 'block' | 'heal'): void => {
        for (const other of nodes) {
          if (other === node) continue;
          network[action](node, other);
          network[action](other, node);
        }
      };
      both('block');
      later(fault.forMs, () => both('heal'));
      break;
    }
    case 'break':
      network.breakConnections(nodeAt(fault.from), nodeAt(fault.to));
      break;
    case 'slow-network':
      slowNetwork(cluster, fault.factor);
      later(fault.forMs, () => slowNetwork(cluster, 1 / fault.factor));
      break;
    case 'slow-disk': {
      const { sync } = nodeAt(fault.node).disk.faults.latency;
      // One that comes while another lasts takes its place: their product would be a sync that takes minutes.
      sync.maxUs = SYNC_MAX_US * fault.factor;
      later(fault.forMs, () => {
        sync.maxUs = SYNC_MAX_US;
      });
      break;
    }
    case 'failing-disk':
      nodeAt(fault.node).disk.faults.failNext(fault.operation, '', fault.count);
      break;
    case 'full-disk': {
      const { disk } = nodeAt(fault.node);
      disk.capacityBytes = disk.usedBytes + fault.pages * PAGE_BYTES;
      later(fault.forMs, () => {
        disk.capacityBytes = Number.MAX_SAFE_INTEGER;
      });
      break;
    }
    case 'clock-jump':
      nodeAt(fault.node).wallClock.jump(fault.deltaMs);
      break;
    case 'stop-safekeeper':
      stopInOrder(safekeeperAt(fault.node));
      break;
    case 'let-go':
      safekeeperAt(fault.node).request(
        async ({ timelines }) => void (await timelines.find(TENANT, TIMELINE)?.letGo()),
      );
      break;
    case 'status-and-vote':
      probe(cluster, safekeeperAt(fault.node));
      break;
    case 'bump-term':
      safekeeperAt(fault.node).request(async ({ timelines }) => {
        using timeline = await timelines.find(TENANT, TIMELINE)?.stay('state');
        await timeline?.acceptor.run((it) => it.bumpTerm(undefined));
      });
      break;
    case 'membership':
      cluster.membership.begin();
      break;
    case 'start-compute':
      takeOver(cluster, computes[fault.compute] as ComputeNode);
      break;
  }
}

/** A new compute on this machine; the one that ran there may not even notice. */
function takeOver(cluster: Cluster, compute: ComputeNode): void {
  compute.node.crash({ kind: 'kill' });
  cluster.startCompute(compute);
}

function stopInOrder(safekeeper: SafekeeperNode): void {
  const { incarnation } = safekeeper.node;
  safekeeper.request(async (service) => {
    try {
      await service.close();
    } finally {
      // The process ends, also where the disk lets it save nothing.
      if (incarnation === safekeeper.node.incarnation) safekeeper.node.crash({ kind: 'kill' });
    }
  });
}

function slowNetwork({ kernel }: Cluster, factor: number): void {
  for (const from of kernel.nodes) {
    for (const to of kernel.nodes) {
      const link = kernel.network.link(from, to);
      link.maxLatencyUs = Math.max(link.minLatencyUs, Math.round(link.maxLatencyUs * factor));
    }
  }
}

/** From here on nothing breaks any more, and what was broken is whole. */
export function heal(cluster: Cluster): void {
  cluster.isHealing = true;
  const { kernel, safekeepers, computes } = cluster;
  kernel.network.healAll();
  for (const from of kernel.nodes) {
    for (const to of kernel.nodes)
      Object.assign(kernel.network.link(from, to), { minLatencyUs: 20, maxLatencyUs: 300 });
  }
  for (const { node } of [...safekeepers, ...computes]) {
    node.plannedCrash = undefined;
    node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    node.disk.faults.heal();
    node.disk.faults.latency.sync.maxUs = SYNC_MAX_US;
  }
  for (const safekeeper of safekeepers) safekeeper.onFollowed = undefined;
  for (const { node } of computes) node.crash({ kind: 'kill' });
  for (const safekeeper of safekeepers) safekeeper.boot();
}
