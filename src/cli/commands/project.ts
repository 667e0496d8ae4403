import type { Command } from 'commander';
import { z } from 'zod';
import { projectSchema } from '../../contracts/control-api.ts';
import type { CliContext } from '../context.ts';
import {
  type ControlFlags,
  type ControlSession,
  parseReference,
  withControl,
  withControlOptions,
} from '../control-session.ts';
import { parseName, timeText } from '../control-values.ts';
import { parseCount } from '../option-values.ts';
import { tableLines } from '../table.ts';

interface CreateFlags extends ControlFlags {
  readonly pg: number;
  readonly branch: string;
}

/** @param project the group of its commands */
export function registerProject(project: Command, context: CliContext): void {
  withControlOptions(
    project
      .command('create')
      .description('make a project, with a first branch')
      .argument('<name>', 'letters, digits and . _ / + -', parseName),
  )
    .option('--pg <major>', 'version of PostgreSQL', parseCount, 17)
    .option('--branch <name>', 'of its first branch', parseName, 'main')
    .action((name: string, flags: CreateFlags) =>
      withControl(context, flags, (session) => create(session, name, flags)),
    );
  withControlOptions(project.command('list').description('show the projects that there are')).action(
    (flags: ControlFlags) => withControl(context, flags, list),
  );
  withControlOptions(
    project
      .command('delete')
      .description('delete a project, with all of its branches and their data')
      .argument('<project>', 'name or id', parseReference),
  ).action((name: string, flags: ControlFlags) =>
    withControl(context, flags, async ({ client, signal, context: { isJson, output } }) => {
      const { operationId } = await client.deleteProject(name, signal);
      await client.finished(operationId, signal);
      if (isJson) await output.writeJson({ deleted: true });
      else await output.write(`deleted the project ${name}\n`);
    }),
  );
}

async function create(
  { client, signal, context: { isJson, output } }: ControlSession,
  name: string,
  { pg, branch }: CreateFlags,
): Promise<void> {
  const answer = await client.createProject({ name, pgMajor: pg, branchName: branch }, signal);
  await client.finished(answer.operationId, signal);
  const project = await client.project(answer.project.id, signal);
  if (isJson) await output.writeJson({ project: z.encode(projectSchema, project) });
  else {
    await output.write(
      `made the project ${name} with the branch ${branch}: ` +
        `‘varve endpoint create ${branch} --project ${name}’ gives it a server\n`,
    );
  }
}

async function list({ client, signal, context: { isJson, output } }: ControlSession): Promise<void> {
  const projects = await client.projects(signal);
  if (isJson) {
    await output.writeJson({ projects: projects.map((each) => z.encode(projectSchema, each)) });
    return;
  }
  const rows = projects.map(({ name, id, pgMajor, state, createdAt }) => [
    name,
    String(pgMajor),
    state,
    timeText(createdAt),
    id,
  ]);
  await output.write(
    `${tableLines([['name', 'PostgreSQL', 'state', 'created', 'id'], ...rows], []).join('\n')}\n`,
  );
}
