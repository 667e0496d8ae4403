/** What a client asks of a pageserver in a Query, in Neon's words (its page_service.rs), and in words of ours. */
import { isId, parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { formatInstant, parseInstant } from '../base/instant.ts';
import { formatLsn, type Lsn, parseLsn } from '../base/lsn.ts';
import { CommandError, SQLSTATE_INVALID_PARAMETER_VALUE } from '../postgres/wire/wire-error.ts';
import type { PageProtocolVersion } from './page-messages.ts';
import type { StartSetForm } from './start-set.ts';
import { parseTenantShardId } from './tenant-shard-id.ts';

/** A branch that a command is about. */
interface Target {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

export type PageServiceCommand =
  | ({ readonly kind: 'PageStream'; readonly protocolVersion: PageProtocolVersion } & Target)
  /** Without an LSN: at the latest one. */
  | ({
      readonly kind: 'BaseBackup';
      readonly lsn?: Lsn;
      readonly isGzip: boolean;
      readonly isReplica: boolean;
    } & Target)
  /** With the relations' data. */
  | ({
      readonly kind: 'FullBackup';
      readonly lsn?: Lsn;
      readonly previousLsn?: Lsn;
      /** Ours: Neon's is never compressed. */
      readonly compression?: 'gzip' | 'zstd';
    } & Target)
  /** The small files that a stock server starts from. Without an LSN: at the latest one. */
  | ({ readonly kind: 'StartSet'; readonly lsn?: Lsn; readonly form: StartSetForm } & Target)
  /** The free space maps that a compute has kept in storage. Without an LSN: at the latest one. */
  | ({ readonly kind: 'FreeSpaceMaps'; readonly lsn?: Lsn } & Target)
  /** Objects to be kept beside WAL, as of an LSN. */
  | ({
      readonly kind: 'PutAuxiliary';
      readonly lsn: Lsn;
      /** They are to be in the bucket when the pageserver answers. */
      readonly isDurable: boolean;
    } & Target)
  | ({ readonly kind: 'LeaseLsn'; readonly lsn: Lsn } & Target)
  /** The end of the last record that the pageserver has. */
  | ({ readonly kind: 'LastLsn' } & Target)
  /** Where a branch was at a moment, in microseconds since 1970. */
  | ({ readonly kind: 'LsnAtTime'; readonly timeMicros: bigint } & Target)
  /** Any `set …`: clients send it on connecting, and it changes nothing here. */
  | { readonly kind: 'Set' };

/** Of what a client sent, in the text of an error. */
const QUOTED_LENGTH_MAX = 40;
const USAGE = {
  pagestream: 'pagestream_v3 TENANT TIMELINE',
  basebackup: 'basebackup TENANT TIMELINE [LSN | latest] [--gzip] [--replica]',
  fullbackup: 'fullbackup TENANT TIMELINE [LSN [PREVIOUS-LSN]] [--gzip | --zstd]',
  startset: 'startset TENANT TIMELINE [LSN | latest] [--read-only | --standby]',
  freespacemaps: 'freespacemaps TENANT TIMELINE [LSN | latest]',
  putauxiliary: 'putauxiliary TENANT TIMELINE LSN [--durable]',
  lease: 'lease lsn TENANT TIMELINE LSN',
  lsn: 'lsn last TENANT TIMELINE, or lsn at TENANT TIMELINE TIME',
} as const;

function refuse(command: keyof typeof USAGE): never {
  throw new CommandError('BAD_COMMAND', `the command is not of the form ${USAGE[command]}`);
}

function parseTarget(tenant: string | undefined, timeline: string | undefined): Target {
  for (const [meaning, id] of [
    ['tenant', tenant],
    ['timeline', timeline],
  ] as const) {
    if (id !== undefined && isId(id.toLowerCase())) continue;
    throw new CommandError(
      'BAD_ID',
      `"${quote(id ?? '')}" is no ${meaning}'s id`,
      SQLSTATE_INVALID_PARAMETER_VALUE,
    );
  }
  return { tenantId: parseTenantId(tenant as string), timelineId: parseTimelineId(timeline as string) };
}

/** What may follow a target: an LSN or `latest`, then flags, each once. */
function parseOptions(
  command: keyof typeof USAGE,
  words: readonly string[],
  known: readonly string[],
): { readonly lsn?: Lsn; readonly flags: readonly string[] } {
  const [first] = words;
  const hasPosition = first !== undefined && !first.startsWith('--');
  const flags = hasPosition ? words.slice(1) : words;
  if (!flags.every((flag) => known.includes(flag)) || new Set(flags).size !== flags.length) refuse(command);
  return { flags, ...(hasPosition && first !== 'latest' ? { lsn: parseLsn(first) } : {}) };
}

function parseBaseBackup([tenant, timeline, ...options]: readonly string[]): PageServiceCommand {
  const { flags, ...position } = parseOptions('basebackup', options, ['--gzip', '--replica']);
  return {
    kind: 'BaseBackup',
    ...parseTarget(tenant, timeline),
    ...position,
    isGzip: flags.includes('--gzip'),
    isReplica: flags.includes('--replica'),
  };
}

function parseStartSet([tenant, timeline, ...options]: readonly string[]): PageServiceCommand {
  const { flags, ...position } = parseOptions('startset', options, ['--read-only', '--standby']);
  if (flags.length > 1) refuse('startset');
  const form = flags[0] === '--read-only' ? 'read-only' : flags[0] === '--standby' ? 'standby' : 'primary';
  return { kind: 'StartSet', ...parseTarget(tenant, timeline), ...position, form };
}

function parseFreeSpaceMaps([tenant, timeline, ...options]: readonly string[]): PageServiceCommand {
  const { flags: _none, ...position } = parseOptions('freespacemaps', options, []);
  return { kind: 'FreeSpaceMaps', ...parseTarget(tenant, timeline), ...position };
}

function parsePutAuxiliary([tenant, timeline, ...options]: readonly string[]): PageServiceCommand {
  const { flags, lsn } = parseOptions('putauxiliary', options, ['--durable']);
  if (lsn === undefined) return refuse('putauxiliary');
  return { kind: 'PutAuxiliary', ...parseTarget(tenant, timeline), lsn, isDurable: flags.length > 0 };
}

function parseFullBackup(words: readonly string[]): PageServiceCommand {
  const last = words.at(-1);
  const compression = last === '--gzip' ? 'gzip' : last === '--zstd' ? 'zstd' : undefined;
  const [tenant, timeline, lsn, previousLsn, ...others] =
    compression === undefined ? words : words.slice(0, -1);
  if (others.length > 0) refuse('fullbackup');
  return {
    kind: 'FullBackup',
    ...parseTarget(tenant, timeline),
    ...(lsn === undefined ? {} : { lsn: parseLsn(lsn) }),
    ...(previousLsn === undefined ? {} : { previousLsn: parseLsn(previousLsn) }),
    ...(compression === undefined ? {} : { compression }),
  };
}

/** Here Neon names a shard. The only one of a tenant is the tenant; there are no others here. */
function parseLease(words: readonly string[]): PageServiceCommand {
  const [what, shard, timeline, lsn, ...others] = words;
  if (what?.toLowerCase() !== 'lsn' || lsn === undefined || others.length > 0) return refuse('lease');
  const { tenantId, shardCount } = parseTenantShardId(shard as string);
  if (shardCount > 1) {
    const reason = `"${shard as string}" is one shard of several, and no tenant is divided here`;
    throw new CommandError('BAD_ID', reason, SQLSTATE_INVALID_PARAMETER_VALUE);
  }
  return { kind: 'LeaseLsn', ...parseTarget(tenantId, timeline), lsn: parseLsn(lsn) };
}

function parseLsnCommand([what, tenant, timeline, ...others]: readonly string[]): PageServiceCommand {
  switch (what?.toLowerCase()) {
    case 'last':
      if (others.length > 0) return refuse('lsn');
      return { kind: 'LastLsn', ...parseTarget(tenant, timeline) };
    case 'at': {
      const [time, ...more] = others;
      if (time === undefined || more.length > 0) return refuse('lsn');
      return { kind: 'LsnAtTime', ...parseTarget(tenant, timeline), timeMicros: parseInstant(time) };
    }
    default:
      return refuse('lsn');
  }
}

/**
 * Parses the text of a Query to a pageserver. The first word may be in any case.
 * @throws CommandError with SQLSTATE 42601 for what is no command, 22023 for a bad id; BadRequestError for a bad LSN or time
 */
export function parsePageServiceCommand(text: string): PageServiceCommand {
  const [name = '', ...words] = text.trim().replace(/\s*;$/, '').split(/\s+/);
  switch (words.length === 0 ? '' : name.toLowerCase()) {
    case 'pagestream_v2':
    case 'pagestream_v3':
      if (words.length !== 2) refuse('pagestream');
      return {
        kind: 'PageStream',
        protocolVersion: name.endsWith('2') ? 2 : 3,
        ...parseTarget(words[0], words[1]),
      };
    case 'basebackup':
      return parseBaseBackup(words);
    case 'fullbackup':
      return parseFullBackup(words);
    case 'startset':
      return parseStartSet(words);
    case 'freespacemaps':
      return parseFreeSpaceMaps(words);
    case 'putauxiliary':
      return parsePutAuxiliary(words);
    case 'lease':
      return parseLease(words);
    case 'lsn':
      return parseLsnCommand(words);
    case 'set':
      return { kind: 'Set' };
    default:
      throw new CommandError('UNKNOWN_COMMAND', `"${quote(text)}" is not a command of a pageserver`);
  }
}

const quote = (text: string): string => text.slice(0, QUOTED_LENGTH_MAX).replaceAll('\0', '');

const FLAG_OF_FORM: Readonly<Record<StartSetForm, readonly string[]>> = {
  primary: [],
  'read-only': ['--read-only'],
  standby: ['--standby'],
};

/** The command as text that parsePageServiceCommand reads. */
export function formatPageServiceCommand(command: PageServiceCommand): string {
  if (command.kind === 'Set') return "set datestyle to 'ISO'";
  const target = `${command.tenantId} ${command.timelineId}`;
  const lsn = 'lsn' in command && command.lsn !== undefined ? [formatLsn(command.lsn)] : [];
  switch (command.kind) {
    case 'PageStream':
      return `pagestream_v${command.protocolVersion} ${target}`;
    case 'BaseBackup': {
      const flags = [...(command.isGzip ? ['--gzip'] : []), ...(command.isReplica ? ['--replica'] : [])];
      return ['basebackup', target, ...lsn, ...flags].join(' ');
    }
    case 'FullBackup': {
      const { previousLsn, compression } = command;
      if (previousLsn !== undefined && lsn.length === 0) {
        throw new CommandError('BAD_COMMAND', 'a previous LSN without an LSN');
      }
      const previous = previousLsn === undefined ? [] : [formatLsn(previousLsn)];
      const flags = compression === undefined ? [] : [`--${compression}`];
      return ['fullbackup', target, ...lsn, ...previous, ...flags].join(' ');
    }
    case 'StartSet':
      return ['startset', target, ...lsn, ...FLAG_OF_FORM[command.form]].join(' ');
    case 'FreeSpaceMaps':
      return ['freespacemaps', target, ...lsn].join(' ');
    case 'PutAuxiliary':
      return ['putauxiliary', target, ...lsn, ...(command.isDurable ? ['--durable'] : [])].join(' ');
    case 'LeaseLsn':
      return ['lease lsn', target, ...lsn].join(' ');
    case 'LastLsn':
      return `lsn last ${target}`;
    case 'LsnAtTime':
      return `lsn at ${target} ${formatInstant(command.timeMicros)}`;
  }
}
