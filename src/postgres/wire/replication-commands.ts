import { formatLsn, type Lsn, parseLsn } from '../../base/lsn.ts';
import { describeToken, scanReplicationCommand, type Token } from './replication-scanner.ts';
import {
  CommandError,
  SQLSTATE_FEATURE_NOT_SUPPORTED,
  SQLSTATE_INVALID_PARAMETER_VALUE,
} from './wire-error.ts';

/** What a client asks of a walsender or a safekeeper in a Query. */
export type ReplicationCommand =
  | { readonly kind: 'IdentifySystem' }
  | {
      readonly kind: 'StartReplication';
      readonly slot?: string;
      readonly startLsn: Lsn;
      /** Only with PostgreSQL's walsenders and their clients; without it the server's latest. */
      readonly timelineId?: number;
      /** Only with safekeepers: stream what is not committed yet, as long as the term is this one. */
      readonly term?: number;
    }
  /** A safekeeper's own: takes WAL from a proposer. */
  | {
      readonly kind: 'StartWalPush';
      readonly protocolVersion: number;
      readonly allowTimelineCreation: boolean;
    }
  /** A safekeeper's own: flush and commit LSN. */
  | { readonly kind: 'TimelineStatus' }
  /** A safekeeper's own: what another one must know to take its WAL. */
  | { readonly kind: 'AcceptorState' }
  /** A safekeeper's own: news of many timelines. */
  | { readonly kind: 'StartStatusStream'; readonly version: number }
  | { readonly kind: 'TimelineHistory'; readonly timelineId: number }
  | { readonly kind: 'Show'; readonly name: string }
  /** Any `SET …`: clients send it on connecting, and it changes nothing here. */
  | { readonly kind: 'Set' };

const WAL_PUSH_PROTOCOL_VERSION_DEFAULT = 2;

/** Commands of a stock walsender that are known and not taken. */
const REFUSED = [
  'ALTER_REPLICATION_SLOT',
  'BASE_BACKUP',
  'CREATE_REPLICATION_SLOT',
  'DROP_REPLICATION_SLOT',
  'READ_REPLICATION_SLOT',
  'UPLOAD_MANIFEST',
];

/** Reads the words of one command one after another. */
class TokenReader {
  readonly #tokens: readonly Token[];
  #index = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  #refuse(wanted: string): never {
    throw new CommandError(
      'BAD_COMMAND',
      `${describeToken(this.#tokens[this.#index])} stands where ${wanted} must`,
    );
  }

  /** Takes this keyword if it is the next word. */
  takeKeyword(keyword: string): boolean {
    const token = this.#tokens[this.#index];
    if (token?.kind !== 'word' || token.isQuoted || token.text !== keyword) return false;
    this.#index++;
    return true;
  }

  takeMark(mark: string): boolean {
    const token = this.#tokens[this.#index];
    if (token?.kind !== 'mark' || token.text !== mark) return false;
    this.#index++;
    return true;
  }

  expectMark(mark: string): void {
    if (!this.takeMark(mark)) this.#refuse(`"${mark}"`);
  }

  expect(kind: 'string' | 'number' | 'lsn', meaning: string): string {
    const token = this.#tokens[this.#index];
    if (token?.kind !== kind) return this.#refuse(meaning);
    this.#index++;
    return token.text;
  }

  /** A name: in lower case unless it is quoted. */
  expectName(meaning: string): string {
    const token = this.#tokens[this.#index];
    if (token?.kind !== 'word') return this.#refuse(meaning);
    this.#index++;
    return token.isQuoted ? token.text : token.text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  }

  expectEnd(): void {
    this.takeMark(';');
    if (this.#index < this.#tokens.length) this.#refuse('the end of the command');
  }
}

function parseWholeNumber(text: string, min: number, max: number, meaning: string): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new CommandError(
    'BAD_COMMAND',
    `the ${meaning} "${text}" is not a whole number from ${min} to ${max}`,
    SQLSTATE_INVALID_PARAMETER_VALUE,
  );
}

const parseTimelineId = (text: string): number => parseWholeNumber(text, 1, 0xffff_ffff, 'timeline');

function parseStartReplication(reader: TokenReader): ReplicationCommand {
  const slot = reader.takeKeyword('SLOT') ? reader.expectName('the name of a slot') : undefined;
  if (reader.takeKeyword('LOGICAL')) {
    throw new CommandError(
      'UNSUPPORTED_COMMAND',
      'logical replication is not served here',
      SQLSTATE_FEATURE_NOT_SUPPORTED,
    );
  }
  reader.takeKeyword('PHYSICAL');
  const startLsn = parseLsn(reader.expect('lsn', 'an LSN such as 0/16B5A50'));
  const timelineId = reader.takeKeyword('TIMELINE')
    ? parseTimelineId(reader.expect('number', 'a number'))
    : undefined;
  const options = parseOptions(reader, ['term']);
  const term = options.get('term');
  return {
    kind: 'StartReplication',
    ...(slot === undefined ? {} : { slot }),
    startLsn,
    ...(timelineId === undefined ? {} : { timelineId }),
    ...(term === undefined ? {} : { term: parseWholeNumber(term, 0, Number.MAX_SAFE_INTEGER, 'term') }),
  };
}

function parseStartWalPush(reader: TokenReader): ReplicationCommand {
  const options = parseOptions(reader, ['proto_version', 'allow_timeline_creation']);
  const version = options.get('proto_version');
  const creation = options.get('allow_timeline_creation') ?? 'true';
  if (creation !== 'true' && creation !== 'false') {
    throw new CommandError(
      'BAD_COMMAND',
      `allow_timeline_creation is "${creation}": true and false are allowed`,
      SQLSTATE_INVALID_PARAMETER_VALUE,
    );
  }
  return {
    kind: 'StartWalPush',
    protocolVersion:
      version === undefined
        ? WAL_PUSH_PROTOCOL_VERSION_DEFAULT
        : parseWholeNumber(version, 0, 0xffff_ffff, 'protocol version'),
    allowTimelineCreation: creation === 'true',
  };
}

function parseStartStatusStream(reader: TokenReader): ReplicationCommand {
  const version = parseOptions(reader, ['version']).get('version');
  if (version === undefined)
    throw new CommandError('BAD_COMMAND', 'the version of the status stream is missing');
  return {
    kind: 'StartStatusStream',
    version: parseWholeNumber(version, 0, 0xffff_ffff, 'version of the status stream'),
  };
}

/** `(name='value', name 'value')`, or nothing. Each name may stand once, and only if it is known. */
function parseOptions(reader: TokenReader, known: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  if (!reader.takeMark('(')) return options;
  do {
    const name = reader.expectName('the name of an option');
    if (!known.includes(name) || options.has(name)) {
      throw new CommandError('BAD_COMMAND', `the option "${name}" is unknown, or stands twice`);
    }
    reader.takeMark('=');
    options.set(name, reader.expect('string', 'a value in single quotes'));
  } while (reader.takeMark(','));
  reader.expectMark(')');
  return options;
}

function parseShow(reader: TokenReader): ReplicationCommand {
  let name = reader.expectName('the name of a setting');
  while (reader.takeMark('.')) name += `.${reader.expectName('the rest of a name')}`;
  return { kind: 'Show', name };
}

/**
 * Parses the text of a Query to a walsender or safekeeper (repl_gram.y). Keywords are in upper case, as PostgreSQL's
 * grammar has them; SET and SHOW, which are SQL as well, in any.
 * @throws CommandError with SQLSTATE 42601 for what is no command, 0A000 for one that is not served, 22023 for a value
 * out of range; BadRequestError for an LSN that is too large
 */
export function parseReplicationCommand(text: string): ReplicationCommand {
  const sqlWord = /^\s*([A-Za-z]+)\s/.exec(text)?.[1]?.toUpperCase();
  if (sqlWord === 'SET') return { kind: 'Set' };
  const reader = new TokenReader(scanReplicationCommand(text));
  if (sqlWord === 'SHOW') reader.expectName('SHOW');
  const command = sqlWord === 'SHOW' ? parseShow(reader) : parseKeyword(reader, text);
  reader.expectEnd();
  return command;
}

function parseKeyword(reader: TokenReader, text: string): ReplicationCommand {
  if (reader.takeKeyword('IDENTIFY_SYSTEM')) return { kind: 'IdentifySystem' };
  if (reader.takeKeyword('START_REPLICATION')) return parseStartReplication(reader);
  if (reader.takeKeyword('START_WAL_PUSH')) return parseStartWalPush(reader);
  if (reader.takeKeyword('TIMELINE_STATUS')) return { kind: 'TimelineStatus' };
  if (reader.takeKeyword('ACCEPTOR_STATE')) return { kind: 'AcceptorState' };
  if (reader.takeKeyword('START_STATUS_STREAM')) return parseStartStatusStream(reader);
  if (reader.takeKeyword('TIMELINE_HISTORY')) {
    return { kind: 'TimelineHistory', timelineId: parseTimelineId(reader.expect('number', 'a number')) };
  }
  const refused = REFUSED.find((keyword) => reader.takeKeyword(keyword));
  if (refused !== undefined) {
    throw new CommandError(
      'UNSUPPORTED_COMMAND',
      `${refused} is not served here`,
      SQLSTATE_FEATURE_NOT_SUPPORTED,
    );
  }
  const word = /^\s*(\S{0,40})/.exec(text)?.[1] ?? '';
  throw new CommandError('UNKNOWN_COMMAND', `"${word}" is not a command of replication`);
}

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The command as text that both PostgreSQL and parseReplicationCommand read, as far as each knows it. */
export function formatReplicationCommand(command: ReplicationCommand): string {
  switch (command.kind) {
    case 'IdentifySystem':
      return 'IDENTIFY_SYSTEM';
    case 'StartReplication': {
      const words = ['START_REPLICATION'];
      if (command.slot !== undefined) words.push('SLOT', quoteName(command.slot));
      words.push('PHYSICAL', formatLsn(command.startLsn));
      if (command.timelineId !== undefined) words.push('TIMELINE', String(command.timelineId));
      if (command.term !== undefined) words.push(`(term='${command.term}')`);
      return words.join(' ');
    }
    case 'StartWalPush':
      return `START_WAL_PUSH (proto_version '${command.protocolVersion}', allow_timeline_creation '${command.allowTimelineCreation}')`;
    case 'TimelineStatus':
      return 'TIMELINE_STATUS';
    case 'AcceptorState':
      return 'ACCEPTOR_STATE';
    case 'StartStatusStream':
      return `START_STATUS_STREAM (version '${command.version}')`;
    case 'TimelineHistory':
      return `TIMELINE_HISTORY ${command.timelineId}`;
    case 'Show':
      return `SHOW ${command.name.split('.').map(quoteName).join('.')}`;
    case 'Set':
      return "SET datestyle TO 'ISO'";
  }
}
