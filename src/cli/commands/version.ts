import type { Command } from 'commander';
import type { CliContext } from '../context.ts';

export function registerVersion(program: Command, context: CliContext): void {
  program
    .command('version')
    .description('print the versions of Varve and of the Node.js that runs it')
    .action(async () => {
      const { version, runtime, output } = context;
      if (context.isJson)
        await output.writeJson({ varve: version, node: runtime.version, platform: runtime.platform });
      else await output.write(`varve ${version}\nnode ${runtime.version} (${runtime.platform})\n`);
    });
}
