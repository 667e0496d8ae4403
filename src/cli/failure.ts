import { CommanderError } from 'commander';
import { type ErrorKind, type ErrorPlace, VarveError } from '../base/errors.ts';
import { formatLsn } from '../base/lsn.ts';
import { EXIT, EXIT_BY_KIND } from './exit-codes.ts';

/** What the command line says about an error: one object for `--json`, the same in words without it. */
interface Failure {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly message: string;
  readonly place?: Omit<ErrorPlace, 'lsn'> & { readonly lsn?: string };
  readonly stack?: string;
}

/** The codes of usage errors that have one of their own; any other is `USAGE`. */
const USAGE_CODES: Readonly<Record<string, string>> = {
  'commander.unknownCommand': 'UNKNOWN_COMMAND',
  'commander.unknownOption': 'UNKNOWN_OPTION',
  'commander.missingArgument': 'MISSING_ARGUMENT',
  'commander.optionMissingArgument': 'MISSING_ARGUMENT',
  'commander.missingMandatoryOptionValue': 'MISSING_ARGUMENT',
  'commander.excessArguments': 'EXCESS_ARGUMENT',
  'commander.invalidArgument': 'INVALID_ARGUMENT',
  'commander.conflictingOption': 'CONFLICTING_OPTIONS',
};

/** The status of the process, and the text for standard error (empty if everything has been said). */
export function describeFailure(error: unknown, isJson: boolean): { exitCode: number; text: string } {
  // Help and version are "errors" of exit code 0; help without a command is one of usage, already printed.
  if (error instanceof CommanderError && error.exitCode === 0) return { exitCode: EXIT.success, text: '' };
  if (error instanceof CommanderError && error.code === 'commander.help' && !isJson) {
    return { exitCode: EXIT.usage, text: '' };
  }
  const failure = toFailure(error);
  return {
    exitCode: EXIT_BY_KIND[failure.kind],
    text: isJson ? `${JSON.stringify({ error: failure })}\n` : inWords(failure),
  };
}

function toFailure(error: unknown): Failure {
  if (error instanceof CommanderError) {
    const message =
      error.code === 'commander.help'
        ? 'a command is missing'
        : error.message.replace(/^error: /, '').replaceAll('\n', ' ');
    const code = error.code === 'commander.help' ? 'MISSING_ARGUMENT' : (USAGE_CODES[error.code] ?? 'USAGE');
    return { kind: 'bad-request', code, message };
  }
  if (error instanceof VarveError) {
    const { kind, code, message, place } = error;
    const { lsn, ...rest } = place;
    return {
      kind,
      code,
      message,
      ...(Object.keys(place).length === 0
        ? {}
        : { place: lsn === undefined ? rest : { ...rest, lsn: formatLsn(lsn) } }),
      ...(kind === 'assertion' ? stackOf(error) : {}),
    };
  }
  return {
    kind: 'assertion',
    code: 'UNEXPECTED',
    message: error instanceof Error ? error.message : String(error),
    ...stackOf(error),
  };
}

const stackOf = (error: unknown): { stack?: string } =>
  error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};

function inWords(failure: Failure): string {
  if (failure.kind !== 'assertion') return `varve: ${failure.message}\n`;
  return `varve: ${failure.message}\nThis is a bug in Varve. Please report it with this text:\n${failure.stack ?? failure.code}\n`;
}
