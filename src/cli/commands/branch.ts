import type { Command } from 'commander';
import { Option } from 'commander';
import { z } from 'zod';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { type Branch, type BranchPatch, branchSchema, endpointSchema } from '../../contracts/control-api.ts';
import type { CliContext } from '../context.ts';
import { createPrimary } from '../control-endpoints.ts';
import {
  type ControlSession,
  type ProjectFlags,
  parseReference,
  withControl,
  withProjectOptions,
} from '../control-session.ts';
import {
  type Moment,
  type PointFlags,
  parseMoment,
  parseName,
  timeText,
  toFuture,
  toPoint,
} from '../control-values.ts';
import { parseLsnOption } from '../option-values.ts';
import { tableLines } from '../table.ts';

interface CreateFlags extends ProjectFlags, PointFlags {
  readonly parent?: string;
  readonly expires?: Moment;
  readonly protected?: true;
  readonly endpoint: boolean;
}

const lsnOption = (what: string): Option =>
  new Option('--lsn <lsn>', `${what}, such as 0/16B5A50`).argParser<Lsn>(parseLsnOption).conflicts('at');
const atOption = (what: string): Option =>
  new Option('--at <time>', `${what}: with its zone, or how long ago, such as 10m`).argParser<Moment>(
    parseMoment,
  );

/** @param branch the group of its commands */
export function registerBranch(branch: Command, context: CliContext): void {
  registerCreate(branch, context);
  withProjectOptions(branch.command('list').description('show the branches of a project')).action(
    (flags: ProjectFlags) => withControl(context, flags, (session) => list(session, flags)),
  );
  forBranch(
    branch,
    'delete',
    'delete a branch and its data: not one that has children or is protected',
  ).action((name: string, flags: ProjectFlags) =>
    withControl(context, flags, (session) => remove(session, name, flags)),
  );
  forBranch(branch, 'rename', 'call a branch something else; its address stays')
    .argument('<new-name>', 'letters, digits and . _ / + -', parseName)
    .action((name: string, newName: string, flags: ProjectFlags) =>
      withControl(context, flags, (session) =>
        change(session, name, flags, { name: newName }, `renamed ${name} to ${newName}`),
      ),
    );
  forBranch(branch, 'protect', 'refuse to delete or reset a branch').action(
    (name: string, flags: ProjectFlags) =>
      withControl(context, flags, (session) =>
        change(session, name, flags, { protected: true }, `${name} is protected`),
      ),
  );
  forBranch(branch, 'unprotect', 'let a branch be deleted or reset').action(
    (name: string, flags: ProjectFlags) =>
      withControl(context, flags, (session) =>
        change(session, name, flags, { protected: false }, `${name} is not protected any more`),
      ),
  );
  forBranch(branch, 'expire', 'have a branch deleted at a time')
    .argument('<time>', 'with its zone, or how long from now, such as 2h; or never', parseExpiry)
    .action((name: string, time: Moment | 'never', flags: ProjectFlags) =>
      withControl(context, flags, (session) => expire(session, name, flags, time)),
    );
  registerHistory(branch, context);
}

const forBranch = (branch: Command, command: string, description: string): Command =>
  withProjectOptions(branch.command(command).description(description)).argument(
    '<branch>',
    'name or id',
    parseReference,
  );

function registerCreate(branch: Command, context: CliContext): void {
  withProjectOptions(
    branch
      .command('create')
      .description('make a branch, and a server on it, and print its connection string')
      .argument('<name>', 'letters, digits and . _ / + -', parseName),
  )
    .option('--parent <branch>', 'name or id; the project’s default branch', parseReference)
    .addOption(lsnOption('from there; else from all that the parent has'))
    .addOption(atOption('from what the parent had then'))
    .option(
      '--expires <time>',
      'it is deleted then: with its zone, or how long from now, such as 2h',
      parseMoment,
    )
    .option('--protected', 'it cannot be deleted or reset')
    .option('--no-endpoint', 'without a server')
    .action((name: string, flags: CreateFlags) =>
      withControl(context, flags, (session) => create(session, name, flags)),
    );
}

function registerHistory(branch: Command, context: CliContext): void {
  forBranch(branch, 'reset', 'give a branch what its parent has now; its address stays')
    .option('--keep-as <name>', 'a new branch that has what was on it', parseName)
    .action((name: string, flags: ProjectFlags & { readonly keepAs?: string }) =>
      withControl(context, flags, async (session) => {
        const { client, signal } = session;
        const body = flags.keepAs === undefined ? {} : { keepAs: flags.keepAs };
        const answer = await client.resetBranch(flags.project, name, body, signal);
        await finish(session, flags, answer, `reset ${name} to its parent`);
      }),
    );
  forBranch(branch, 'restore', 'give a branch what it had at an LSN or a time; what it has now is kept')
    .addOption(lsnOption('back to there'))
    .addOption(atOption('back to then'))
    .option('--keep-as <name>', 'of the branch that has what is on it now', parseName)
    .action(
      (name: string, flags: ProjectFlags & PointFlags & { readonly keepAs?: string }, command: Command) => {
        if (flags.lsn === undefined && flags.at === undefined) {
          command.error("error: one of '--lsn <lsn>' and '--at <time>' is needed", {
            code: 'commander.missingMandatoryOptionValue',
          });
        }
        return withControl(context, flags, (session) => restore(session, name, flags));
      },
    );
}

async function create(session: ControlSession, name: string, flags: CreateFlags): Promise<void> {
  const { client, signal, nowMs, context } = session;
  const { project, parent, expires } = flags;
  const answer = await client.createBranch(
    project,
    {
      name,
      ...(parent === undefined ? {} : { parent }),
      ...toPoint(flags, nowMs),
      ...(expires === undefined ? {} : { expiresAt: toFuture(expires, nowMs) }),
      ...(flags.protected === true ? { protected: true } : {}),
    },
    signal,
  );
  await client.finished(answer.operationId, signal);
  const branch = await client.branch(project, answer.branch.id, signal);
  const { endpoint, url } = flags.endpoint
    ? await createPrimary(session, project, branch)
    : { endpoint: null, url: null };
  const { isJson, output } = context;
  if (isJson) {
    await output.writeJson({
      branch: z.encode(branchSchema, branch),
      endpoint: endpoint === null ? null : z.encode(endpointSchema, endpoint),
      url,
    });
    return;
  }
  const at = branch.ancestorLsn === null ? '' : ` at ${formatLsn(branch.ancestorLsn)}`;
  await output.write(`made the branch ${name}${at}\n${url === null ? '' : `${url}\n`}`);
}

async function list({ client, signal, context }: ControlSession, { project }: ProjectFlags): Promise<void> {
  const branches = await client.branches(project, signal);
  if (context.isJson) {
    await context.output.writeJson({ branches: branches.map((each) => z.encode(branchSchema, each)) });
    return;
  }
  const names = new Map(branches.map(({ id, name }) => [id, name]));
  const rows = branches.map((branch) => [
    branch.name,
    branch.parentId === null ? '-' : (names.get(branch.parentId) ?? branch.parentId),
    branch.ancestorLsn === null ? '-' : formatLsn(branch.ancestorLsn),
    noteOf(branch),
    timeText(branch.createdAt),
    branch.id,
  ]);
  const head = ['name', 'parent', 'from', 'state', 'created', 'id'];
  await context.output.write(`${tableLines([head, ...rows], []).join('\n')}\n`);
}

const noteOf = ({ state, isDefault, isProtected, expiresAt }: Branch): string =>
  [
    state,
    ...(isDefault ? ['default'] : []),
    ...(isProtected ? ['protected'] : []),
    ...(expiresAt === null ? [] : [`until ${timeText(expiresAt)}`]),
  ].join(', ');

async function remove(
  { client, signal, context: { isJson, output } }: ControlSession,
  name: string,
  { project }: ProjectFlags,
): Promise<void> {
  const { operationId } = await client.deleteBranch(project, name, signal);
  await client.finished(operationId, signal);
  if (isJson) await output.writeJson({ deleted: true });
  else await output.write(`deleted the branch ${name}\n`);
}

async function change(
  session: ControlSession,
  name: string,
  flags: ProjectFlags,
  body: BranchPatch,
  said: string,
): Promise<void> {
  const answer = await session.client.changeBranch(flags.project, name, body, session.signal);
  await finish(session, flags, answer, said);
}

async function expire(
  session: ControlSession,
  name: string,
  flags: ProjectFlags,
  time: Moment | 'never',
): Promise<void> {
  const expiresAt = time === 'never' ? null : toFuture(time, session.nowMs);
  const said = expiresAt === null ? `${name} is kept` : `${name} is deleted at ${timeText(expiresAt)}`;
  await change(session, name, flags, { expiresAt }, said);
}

async function restore(
  session: ControlSession,
  name: string,
  flags: ProjectFlags & PointFlags & { readonly keepAs?: string },
): Promise<void> {
  const { client, signal, nowMs } = session;
  const { project, keepAs } = flags;
  const body = { ...toPoint(flags, nowMs), ...(keepAs === undefined ? {} : { keepAs }) };
  const answer = await client.restoreBranch(project, name, body, signal);
  await client.finished(answer.operationId, signal);
  const restored = await client.branch(project, answer.branch.id, signal);
  const branches = await client.branches(project, signal);
  const kept = branches.find(({ id }) => id === restored.parentId);
  const keptIn = kept === undefined ? '' : `; what it had is the branch ${kept.name}`;
  await show(session, restored, `restored ${name}${keptIn}`);
}

async function finish(
  session: ControlSession,
  { project }: ProjectFlags,
  { branch, operationId }: { readonly branch: Branch; readonly operationId: string | null },
  said: string,
): Promise<void> {
  await session.client.finished(operationId, session.signal);
  await show(session, await session.client.branch(project, branch.id, session.signal), said);
}

async function show(
  { context: { isJson, output } }: ControlSession,
  branch: Branch,
  said: string,
): Promise<void> {
  if (isJson) await output.writeJson({ branch: z.encode(branchSchema, branch) });
  else await output.write(`${said}\n`);
}

const parseExpiry = (text: string): Moment | 'never' => (text === 'never' ? text : parseMoment(text));
