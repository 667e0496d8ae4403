import { BadRequestError } from '../base/errors.ts';

/** The name of the proposer among the server's standbys, and of its slot. */
export const PROPOSER_NAME = 'varve';
/** Of the cluster that every timeline begins with. */
export const SUPERUSER = 'postgres';

/**
 * What an acknowledged commit rests on, and what the directory is worth nothing without. On the command line, where ALTER
 * SYSTEM changes nothing.
 */
export const FIXED_SETTINGS: Readonly<Record<string, string>> = {
  // The disk is a cache: what is durable is on safekeepers.
  fsync: 'off',
  // Storage has the images that redo needs, and a torn page is never recovered here.
  full_page_writes: 'off',
  // A crash of any server process could tear a page, and show commits that no quorum has.
  restart_after_crash: 'off',
  synchronous_standby_names: PROPOSER_NAME,
  // Hint bits would write images of pages.
  wal_log_hints: 'off',
  archive_mode: 'off',
  // With more, a logical slot could be made, which is in no WAL, and which no later start of the branch would know.
  wal_level: 'replica',
};

/** Where it listens, where it has its files, and what it follows. */
const OWN = [
  ...['port', 'listen_addresses', 'unix_socket_directories'],
  ...['hba_file', 'ident_file', 'data_directory', 'config_file'],
  ...['primary_conninfo', 'primary_slot_name', 'restore_command', 'hot_standby'],
];

/** Lines of postgresql.conf that are no settings (guc-file.l). */
const DIRECTIVES = ['include', 'include_dir', 'include_if_exists'];

/** As far as one setting says it alone. @throws BadRequestError SETTING_FIXED for a setting that is not to be chosen, BAD_SETTING */
export function checkSetting(given: string, value: string): void {
  // Names of settings have no case (guc_name_compare).
  const name = given.toLowerCase();
  if (!/^[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*$/.test(name) || DIRECTIVES.includes(name)) {
    throw new BadRequestError('BAD_SETTING', `“${given}” is no name of a setting`);
  }
  if (name === 'wal_level') {
    const reason =
      'the setting wal_level is not to be chosen: a logical slot is in no WAL, so that it would be lost with this server';
    throw new BadRequestError('SETTING_FIXED', reason);
  }
  if (Object.hasOwn(FIXED_SETTINGS, name) || OWN.includes(name)) {
    const reason = `the setting ${name} is not to be chosen: the compute sets it`;
    throw new BadRequestError('SETTING_FIXED', reason);
  }
  if (/[\r\n\0]/.test(value)) {
    throw new BadRequestError('BAD_SETTING', `the setting ${name} has a line break in it`);
  }
}

/** As one of a list of libraries (varlena.c, SplitDirectoriesString). */
export const quoteLibrary = (name: string): string => `"${name.replaceAll('"', '""')}"`;
