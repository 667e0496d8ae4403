import { formatLsn, type Lsn, parseLsn } from '../../base/lsn.ts';
import { CommandError, SQLSTATE_INVALID_PARAMETER_VALUE } from './wire-error.ts';

/** A branch that a command is about: ids as 32 lower-case hexadecimal digits. */
interface Target {
  readonly tenantId: string;
  readonly timelineId: string;
}

/** What a client asks of a pageserver in a Query, in Neon's words. */
export type PageServiceCommand =
  | ({ readonly kind: 'PageStream'; readonly protocolVersion: 2 | 3 } & Target)
  /** Without an LSN: at the latest one. */
  | ({
      readonly kind: 'BaseBackup';
      readonly lsn?: Lsn;
      readonly isGzip: boolean;
      readonly isReplica: boolean;
    } & Target)
  /** With the relations' data. */
  | ({ readonly kind: 'FullBackup'; readonly lsn?: Lsn; readonly previousLsn?: Lsn } & Target)
  /** Here the tenant may be one of its shards: the id, a hyphen, and number and count in two digits each. */
  | ({ readonly kind: 'LeaseLsn'; readonly lsn: Lsn } & Target)
  /** Any `set …`: clients send it on connecting, and it changes nothing here. */
  | { readonly kind: 'Set' };

const ID = /^[0-9a-f]{32}$/i;
const TENANT_SHARD_ID = /^[0-9a-f]{32}(-[0-9a-f]{4})?$/i;
const USAGE = {
  pagestream: 'pagestream_v3 TENANT TIMELINE',
  basebackup: 'basebackup TENANT TIMELINE [LSN | latest] [--gzip] [--replica]',
  fullbackup: 'fullbackup TENANT TIMELINE [LSN [PREVIOUS-LSN]]',
  lease: 'lease lsn TENANT-SHARD TIMELINE LSN',
} as const;

function refuse(command: keyof typeof USAGE): never {
  throw new CommandError('BAD_COMMAND', `the command is not of the form ${USAGE[command]}`);
}

function parseTarget(tenant: string | undefined, timeline: string | undefined, tenantForm = ID): Target {
  for (const [meaning, id, form] of [
    ['tenant', tenant, tenantForm],
    ['timeline', timeline, ID],
  ] as const) {
    if (id === undefined || !form.test(id)) {
      throw new CommandError(
        'BAD_ID',
        `"${id ?? ''}" is no ${meaning}'s id`,
        SQLSTATE_INVALID_PARAMETER_VALUE,
      );
    }
  }
  return { tenantId: (tenant as string).toLowerCase(), timelineId: (timeline as string).toLowerCase() };
}

function parseBaseBackup(words: readonly string[]): PageServiceCommand {
  const [tenant, timeline, third, ...others] = words;
  const hasPosition = third !== undefined && !third.startsWith('--');
  const flags = third === undefined || hasPosition ? others : [third, ...others];
  const isKnown = flags.every((flag) => flag === '--gzip' || flag === '--replica');
  if (!isKnown || new Set(flags).size !== flags.length) refuse('basebackup');
  return {
    kind: 'BaseBackup',
    ...parseTarget(tenant, timeline),
    ...(hasPosition && third !== 'latest' ? { lsn: parseLsn(third) } : {}),
    isGzip: flags.includes('--gzip'),
    isReplica: flags.includes('--replica'),
  };
}

function parseFullBackup(words: readonly string[]): PageServiceCommand {
  const [tenant, timeline, lsn, previousLsn, ...others] = words;
  if (others.length > 0) refuse('fullbackup');
  return {
    kind: 'FullBackup',
    ...parseTarget(tenant, timeline),
    ...(lsn === undefined ? {} : { lsn: parseLsn(lsn) }),
    ...(previousLsn === undefined ? {} : { previousLsn: parseLsn(previousLsn) }),
  };
}

function parseLease(words: readonly string[]): PageServiceCommand {
  const [what, tenant, timeline, lsn, ...others] = words;
  if (what?.toLowerCase() !== 'lsn' || lsn === undefined || others.length > 0) return refuse('lease');
  return { kind: 'LeaseLsn', ...parseTarget(tenant, timeline, TENANT_SHARD_ID), lsn: parseLsn(lsn) };
}

/**
 * Parses the text of a Query to a pageserver. The first word may be in any case.
 * @throws CommandError with SQLSTATE 42601 for what is no command, 22023 for a bad id; BadRequestError for a bad LSN
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
    case 'lease':
      return parseLease(words);
    case 'set':
      return { kind: 'Set' };
    default:
      throw new CommandError('UNKNOWN_COMMAND', `"${text.slice(0, 40)}" is not a command of a pageserver`);
  }
}

/** The command as text that parsePageServiceCommand reads. */
export function formatPageServiceCommand(command: PageServiceCommand): string {
  if (command.kind === 'Set') return "set datestyle to 'ISO'";
  const target = `${command.tenantId} ${command.timelineId}`;
  switch (command.kind) {
    case 'PageStream':
      return `pagestream_v${command.protocolVersion} ${target}`;
    case 'BaseBackup': {
      const words = ['basebackup', target];
      if (command.lsn !== undefined) words.push(formatLsn(command.lsn));
      if (command.isGzip) words.push('--gzip');
      if (command.isReplica) words.push('--replica');
      return words.join(' ');
    }
    case 'FullBackup': {
      const words = ['fullbackup', target];
      if (command.lsn !== undefined) words.push(formatLsn(command.lsn));
      if (command.previousLsn !== undefined) {
        if (command.lsn === undefined) throw new CommandError('BAD_COMMAND', 'a previous LSN without an LSN');
        words.push(formatLsn(command.previousLsn));
      }
      return words.join(' ');
    }
    case 'LeaseLsn':
      return `lease lsn ${target} ${formatLsn(command.lsn)}`;
  }
}
