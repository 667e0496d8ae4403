// A process of the page service's benchmark: a storage engine, and the page service in front of it.
import { serveCommands } from '../test/support/command-process.ts';
import { Host } from './getpage/host.ts';
import type { HostCommands } from './getpage/host-messages.ts';

const host = new Host();
serveCommands<HostCommands>(host.handlers, () => host.stop());
