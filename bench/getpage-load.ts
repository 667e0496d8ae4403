// A process of the page service's benchmark: asks for pages, over connections of its own.
import type { PageStream } from '../src/page-client/page-stream.ts';
import { serveCommands } from '../test/support/command-process.ts';
import { BareServer } from './getpage/bare-server.ts';
import { openStream, runLoad } from './getpage/load.ts';
import type { LoadCommands } from './getpage/load-messages.ts';
import { readUsage } from './support/process-usage.ts';

const IDLE = {
  onPage: () => undefined,
  onAnswer: () => undefined,
  onRefused: () => undefined,
  onEnd: () => undefined,
};
const AT_ONCE = 16;

const streams: PageStream[] = [];
let bare: BareServer | undefined;

async function disconnect(): Promise<undefined> {
  await Promise.all(streams.splice(0).map((stream) => stream.close()));
}

serveCommands<LoadCommands>(
  {
    run: runLoad,
    connect: async ({ count, ...target }) => {
      for (let made = 0; made < count; made += AT_ONCE) {
        const batch = Array.from({ length: Math.min(AT_ONCE, count - made) }, () => openStream(target, IDLE));
        streams.push(...(await Promise.all(batch)));
      }
      return undefined;
    },
    disconnect,
    usage: async ({ collects }) => readUsage(collects),
    serveBare: async () => {
      bare ??= await BareServer.start();
      return bare.port;
    },
  },
  async () => {
    await disconnect();
    await bare?.[Symbol.asyncDispose]();
  },
);
