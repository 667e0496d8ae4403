import { type Command, Option } from 'commander';
import { z } from 'zod';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { connectionStringOf } from '../../contracts/connection-string.ts';
import { type Endpoint, type EndpointCreate, endpointSchema } from '../../contracts/control-api.ts';
import type { CliContext } from '../context.ts';
import { checkStarted, findEndpointId } from '../control-endpoints.ts';
import {
  type ControlSession,
  type ProjectFlags,
  parseReference,
  withControl,
  withProjectOptions,
} from '../control-session.ts';
import { type Moment, type PointFlags, parseMoment, toPoint } from '../control-values.ts';
import { parseDuration, parseLsnOption, parsePort } from '../option-values.ts';
import { tableLines } from '../table.ts';

interface CreateFlags extends ProjectFlags, PointFlags {
  readonly readOnly?: true;
  readonly port?: number;
  readonly suspendAfter?: number;
  readonly start: boolean;
}

const MOVES = {
  start: 'start an endpoint’s server',
  stop: 'end an endpoint’s server, and refuse its clients until it is started',
  suspend: 'end an endpoint’s server until its next client comes',
  restart: 'end an endpoint’s server, and start it',
} as const;
type Move = keyof typeof MOVES;

const ENDPOINT = 'id, or the branch whose primary it is';

/** @param endpoint the group of its commands */
export function registerEndpoint(endpoint: Command, context: CliContext): void {
  registerCreate(endpoint, context);
  withProjectOptions(
    endpoint
      .command('list')
      .description('show the endpoints of a project')
      .option('--branch <branch>', 'those of this one', parseReference),
  ).action((flags: ProjectFlags & { readonly branch?: string }) =>
    withControl(context, flags, (session) => list(session, flags)),
  );
  for (const [move, description] of Object.entries(MOVES) as [Move, string][]) {
    withProjectOptions(endpoint.command(move).description(description))
      .argument('<endpoint>', ENDPOINT, parseReference)
      .action((reference: string, flags: ProjectFlags) =>
        withControl(context, flags, (session) => carryOut(session, reference, flags, move)),
      );
  }
  withProjectOptions(endpoint.command('delete').description('delete an endpoint; its branch stays'))
    .argument('<endpoint>', ENDPOINT, parseReference)
    .action((reference: string, flags: ProjectFlags) =>
      withControl(context, flags, (session) => remove(session, reference, flags)),
    );
}

function registerCreate(endpoint: Command, context: CliContext): void {
  withProjectOptions(
    endpoint
      .command('create')
      .description('give a branch a server, and print its connection string')
      .argument('<branch>', 'name or id', parseReference),
  )
    .option('--read-only', 'one more, which cannot write and follows the branch')
    .addOption(
      new Option('--lsn <lsn>', 'with --read-only: it shows the branch as it was there')
        .argParser<Lsn>(parseLsnOption)
        .conflicts('at'),
    )
    .addOption(
      new Option(
        '--at <time>',
        'with --read-only: as it was then, with its zone, or how long ago, such as 10m',
      ).argParser<Moment>(parseMoment),
    )
    .option('--port <port>', 'where clients connect to; a free one', parsePort)
    .option('--suspend-after <time>', 'of idling; 0s: never', parseDuration)
    .option('--no-start', 'leave it stopped')
    .action((branch: string, flags: CreateFlags, command: Command) => {
      if (flags.readOnly !== true && (flags.lsn !== undefined || flags.at !== undefined)) {
        command.error("error: '--lsn' and '--at' go with '--read-only'", {
          code: 'commander.conflictingOption',
        });
      }
      return withControl(context, flags, (session) => create(session, branch, flags));
    });
}

async function create(session: ControlSession, branch: string, flags: CreateFlags): Promise<void> {
  const { client, signal, nowMs } = session;
  const { project, readOnly, port, suspendAfter, start } = flags;
  const body: EndpointCreate = {
    kind: readOnly === true ? 'read-only' : 'primary',
    ...toPoint(flags, nowMs),
    ...(port === undefined ? {} : { port }),
    ...(suspendAfter === undefined ? {} : { suspendAfterSeconds: Math.ceil(suspendAfter / 1000) }),
    start,
  };
  const answer = await client.createEndpoint(project, branch, body, signal);
  await show(session, flags, answer, 'made');
}

async function list(
  { client, signal, context: { isJson, output } }: ControlSession,
  { project, branch }: ProjectFlags & { readonly branch?: string },
): Promise<void> {
  const branches =
    branch === undefined
      ? await client.branches(project, signal)
      : [await client.branch(project, branch, signal)];
  const found: { readonly endpoint: Endpoint; readonly branch: string }[] = [];
  for (const { id, name } of branches) {
    const endpoints = await client.endpoints(project, id, signal);
    found.push(...endpoints.map((endpoint) => ({ endpoint, branch: name })));
  }
  if (isJson) {
    const endpoints = found.map(({ endpoint }) => ({
      ...z.encode(endpointSchema, endpoint),
      url: connectionStringOf(endpoint) ?? null,
    }));
    await output.writeJson({ endpoints });
    return;
  }
  const rows = found.map(({ endpoint, branch: name }) => [
    endpoint.id,
    name,
    endpoint.lsn === null ? endpoint.kind : `${endpoint.kind} at ${formatLsn(endpoint.lsn)}`,
    endpoint.state,
    endpoint.suspendAfterSeconds === 0 ? 'never' : `after ${endpoint.suspendAfterSeconds} s`,
    connectionStringOf(endpoint) ?? '-',
  ]);
  const head = ['id', 'branch', 'kind', 'state', 'suspends', 'connection string'];
  await output.write(`${tableLines([head, ...rows], []).join('\n')}\n`);
}

const MOVED: Readonly<Record<Move, string>> = {
  start: 'started',
  stop: 'stopped',
  suspend: 'suspended',
  restart: 'restarted',
};

async function carryOut(
  session: ControlSession,
  reference: string,
  flags: ProjectFlags,
  move: Move,
): Promise<void> {
  const id = await findEndpointId(session, flags.project, reference);
  const answer = await session.client.moveEndpoint(flags.project, id, move, session.signal);
  await show(session, flags, answer, MOVED[move]);
}

async function remove(session: ControlSession, reference: string, { project }: ProjectFlags): Promise<void> {
  const { client, signal, context } = session;
  const id = await findEndpointId(session, project, reference);
  const { operationId } = await client.deleteEndpoint(project, id, signal);
  await client.finished(operationId, signal);
  if (context.isJson) await context.output.writeJson({ deleted: true });
  else await context.output.write(`deleted the endpoint ${id}\n`);
}

async function show(
  session: ControlSession,
  { project }: ProjectFlags,
  answer: { readonly endpoint: Endpoint; readonly operationId: string | null },
  done: string,
): Promise<void> {
  const { client, signal } = session;
  const { isJson, output } = session.context;
  await client.finished(answer.operationId, signal);
  const endpoint = checkStarted(session, project, await client.endpoint(project, answer.endpoint.id, signal));
  const url = connectionStringOf(endpoint) ?? null;
  if (isJson) {
    await output.writeJson({ endpoint: z.encode(endpointSchema, endpoint), url });
    return;
  }
  const isUsable = endpoint.state === 'active' || endpoint.state === 'suspended';
  await output.write(`${done} the endpoint ${endpoint.id}\n${url === null || !isUsable ? '' : `${url}\n`}`);
}
