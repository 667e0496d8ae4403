import type { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { findUsable } from '../control-endpoints.ts';
import { type ProjectFlags, parseReference, withControl, withProjectOptions } from '../control-session.ts';

export function registerUrl(program: Command, context: CliContext): void {
  withProjectOptions(program.command('url').description('print the connection string of a branch'))
    .argument('<branch>', 'name or id', parseReference)
    .action((branch: string, flags: ProjectFlags) =>
      withControl(context, flags, async (session) => {
        const { url } = await findUsable(session, flags.project, branch);
        if (context.isJson) await context.output.writeJson({ url });
        else await context.output.write(`${url}\n`);
      }),
    );
}
