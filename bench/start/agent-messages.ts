import type { ComputeOptions } from '../../src/compute/options.ts';
import type { PlainDirectories, TimedStart } from './timed-starts.ts';

/** What the process of a warm agent does. */
export interface AgentCommands {
  /** Finds the programs and the shim, once. */
  prepare: { readonly argument: { readonly pgBin: string | undefined }; readonly answer: undefined };
  compute: {
    readonly argument: Omit<ComputeOptions, 'binDirectory' | 'shim' | 'listen'>;
    readonly answer: TimedStart;
  };
  plain: { readonly argument: PlainDirectories; readonly answer: TimedStart };
  residentBytes: { readonly argument: undefined; readonly answer: number };
}
