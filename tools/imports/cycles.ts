/**
 * Finds the cycles of a graph of files: for each group of files that reach one another, one shortest cycle through
 * its first file (in the order of names). Targets that are no nodes are passed over.
 */
export function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const reported = new Set<string>();
  for (const start of [...graph.keys()].sort()) {
    if (reported.has(start)) continue;
    const cycle = shortestCycle(graph, start);
    if (cycle === undefined) continue;
    for (const node of cycle) reported.add(node);
    cycles.push(cycle);
  }
  return cycles;
}

function shortestCycle(graph: ReadonlyMap<string, readonly string[]>, start: string): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (const node of queue) {
    for (const target of graph.get(node) ?? []) {
      if (target === start) return pathTo(node, start, cameFrom);
      if (cameFrom.has(target) || !graph.has(target)) continue;
      cameFrom.set(target, node);
      queue.push(target);
    }
  }
  return undefined;
}

function pathTo(end: string, start: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const path = [end];
  let node = end;
  while (node !== start) {
    const before = cameFrom.get(node);
    if (before === undefined) throw new Error(`the search has not come to ${node}`);
    path.push(before);
    node = before;
  }
  return path.reverse();
}
