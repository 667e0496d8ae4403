import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { BadRequestError, VarveError } from '../base/errors.ts';
import type { ControlClient } from '../http/control-client.ts';
import type { CliContext } from './context.ts';
import { parseHttpUrl, readToken } from './option-values.ts';
import { DIRECTORY_DEFAULT, resolveDirectory } from './system-directory.ts';

/** Which control plane is asked. */
export interface ControlFlags {
  readonly dir: string;
  readonly api?: string;
  readonly tokenPath?: string;
}

export interface ProjectFlags extends ControlFlags {
  readonly project: string;
}

/** A control plane, and who asks it. */
export interface ControlSession {
  readonly context: CliContext;
  readonly client: ControlClient;
  /** Given when the user gives up. */
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** For a command that is suggested: options by which it asks the same control plane, each behind a space. */
  readonly sameOptions: string;
}

export const PROJECT_DEFAULT = 'main';
const REFERENCE_LENGTH_MAX = 63;

export const withControlOptions = (command: Command): Command =>
  command
    .option('--dir <directory>', 'of the system that is asked', DIRECTORY_DEFAULT)
    .option('--api <url>', 'in its place: the API of a control plane, http://HOST:PORT', parseApi)
    .option('--token-path <file>', 'with --api: a token of the scope admin');

export const withProjectOptions = (command: Command): Command =>
  withControlOptions(command).option('--project <name>', 'name or id', parseReference, PROJECT_DEFAULT);

/** The name or id of something that is there. */
export function parseReference(text: string): string {
  // As a part of a URL these would mean another one.
  const isFit = text !== '' && text !== '.' && text !== '..' && text.length <= REFERENCE_LENGTH_MAX;
  if (isFit) return text;
  throw new InvalidArgumentError(
    `A name or an id has 1 to ${REFERENCE_LENGTH_MAX} characters, and is neither “.” nor “..”.`,
  );
}

/** With or without the path that `varve start` prints behind it. */
const parseApi = (text: string): string => parseHttpUrl(text.replace(/\/api\/v1\/?$/, ''));

/**
 * Asks the control plane that the flags name.
 * @throws VarveError ‘precondition’ / NOT_RUNNING, ‘unavailable’ / API_UNREACHABLE, which say what to do
 */
export async function withControl(
  context: CliContext,
  flags: ControlFlags,
  work: (session: ControlSession) => Promise<void>,
): Promise<void> {
  if (flags.api === undefined && flags.tokenPath !== undefined) {
    throw new BadRequestError('MISSING_ARGUMENT', '--token-path goes with --api');
  }
  // Loaded only here: no other command needs it.
  const { untilInterrupted, wallMs } = await import('../client/main.ts');
  await untilInterrupted(async (signal) => {
    const client = await openClient(context, flags);
    try {
      await work({ context, client, signal, nowMs: wallMs(), sameOptions: sameOptions(flags) });
    } catch (error) {
      if (signal.aborted) throw givenUp(error);
      throw isUnreachable(error) ? unreachable(flags, error) : withTokenAdvice(flags, error);
    }
  });
}

async function openClient(
  { files }: CliContext,
  { dir, api, tokenPath }: ControlFlags,
): Promise<ControlClient> {
  if (api === undefined) {
    const { openControlClient } = await import('../system/main.ts');
    return (await openControlClient(resolveDirectory(dir))).client;
  }
  const { openRemoteControl } = await import('../client/main.ts');
  return openRemoteControl(api, tokenPath === undefined ? undefined : () => readToken(files, tokenPath));
}

const isUnreachable = (error: unknown): error is VarveError =>
  error instanceof VarveError && ['CONNECTION_FAILED', 'CONNECTION_LOST'].includes(error.code);

function unreachable({ dir, api }: ControlFlags, error: VarveError): VarveError {
  const advice =
    api === undefined
      ? `see ‘varve logs --dir ${dir}’, or start it anew with ‘varve start --dir ${dir}’`
      : 'is it the address that ‘varve start’ has printed, and does that run still?';
  const reason = `the API does not answer (${error.reason}): ${advice}`;
  return new VarveError('unavailable', 'API_UNREACHABLE', reason, {}, error);
}

function sameOptions({ dir, api, tokenPath }: ControlFlags): string {
  if (api === undefined) return dir === DIRECTORY_DEFAULT ? '' : ` --dir ${dir}`;
  return ` --api ${api}${tokenPath === undefined ? '' : ` --token-path ${tokenPath}`}`;
}

function withTokenAdvice({ api }: ControlFlags, error: unknown): unknown {
  const isOfToken =
    error instanceof VarveError && ['TOKEN_MISSING', 'TOKEN_REFUSED', 'SCOPE_REFUSED'].includes(error.code);
  if (!isOfToken || api === undefined) return error;
  const reason = `${error.reason}: --token-path names the file of a token, keys/api-token of the system’s directory`;
  return new VarveError(error.kind, error.code, reason, {}, error);
}

const givenUp = (error: unknown): VarveError =>
  new VarveError('cancelled', 'CANCELLED', 'interrupted: what has begun goes on', {}, error);
