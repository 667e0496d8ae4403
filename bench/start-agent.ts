// A process of the benchmark of starts: starts one compute after another, as an agent does that runs already.
import { serveCommands } from '../test/support/command-process.ts';
import type { AgentCommands } from './start/agent-messages.ts';
import { makeWarmAgent, timePlainStart, timeWarmStart, type WarmAgent } from './start/timed-starts.ts';

let agent: WarmAgent | undefined;

function prepared(): WarmAgent {
  if (agent === undefined) throw new Error('an agent is asked for something before it is prepared');
  return agent;
}

serveCommands<AgentCommands>(
  {
    prepare: async ({ pgBin }) => {
      agent = await makeWarmAgent(pgBin);
      return undefined;
    },
    compute: (options) => timeWarmStart(prepared(), options),
    plain: (directories) => timePlainStart(prepared(), directories),
    residentBytes: async () => process.memoryUsage.rss(),
  },
  async () => undefined,
);
