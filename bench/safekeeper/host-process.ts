import { fileURLToPath } from 'node:url';
import { CommandProcess } from '../../test/support/command-process.ts';
import type { HostCommands } from './host-messages.ts';

const MAIN = fileURLToPath(new URL('../safekeeper-host.ts', import.meta.url));

/** A process in which safekeepers, proposers and clients run when it is told to. */
export class HostProcess extends CommandProcess<HostCommands> {
  constructor(execArguments: readonly string[] = []) {
    super(MAIN, execArguments);
  }
}
