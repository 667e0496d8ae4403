import { cpus, loadavg, totalmem } from 'node:os';

/** What a figure depends on and does not say itself. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly postgres: string;
  readonly loadAverage: number;
}

export function describeMachine(postgres: string): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown CPU',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres,
    loadAverage: Math.round((loadavg()[0] as number) * 100) / 100,
  };
}

export function formatMachine(machine: Machine): string {
  const { cpu, cores, memoryGiB, node, postgres, loadAverage } = machine;
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB; Node ${node}; PostgreSQL ${postgres}; load average ${loadAverage}`;
}
