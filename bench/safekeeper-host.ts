// A process of the safekeepers' benchmark: does what the process that has forked it asks for.
import { serveCommands } from '../test/support/command-process.ts';
import { Host } from './safekeeper/host.ts';
import type { HostCommands } from './safekeeper/host-messages.ts';

const host = new Host();
serveCommands<HostCommands>(host.handlers, () => host.stop());
