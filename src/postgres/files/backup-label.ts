import { CorruptionError } from '../../base/errors.ts';
import { type Lsn, parseLsn } from '../../base/lsn.ts';

/** Relative to the data directory. */
export const BACKUP_LABEL_PATH = 'backup_label';

/** What a backup of a running server says of itself (xlogbackup.c, build_backup_content). */
export interface BackupLabel {
  /** Redo of its checkpoint: from here on its WAL must be replayed. */
  readonly startLsn: Lsn;
  /** Where that checkpoint's record begins. */
  readonly checkPointLsn: Lsn;
  /** Then no record says where it ends, but the minimum recovery point of its control file. */
  readonly isFromStandby: boolean;
  /** PostgreSQL's timeline; undefined where the label does not name it (before 11). */
  readonly timelineId: number | undefined;
  /** Of files it has only what has changed since another backup. */
  readonly isIncremental: boolean;
}

const refuse = (reason: string): never => {
  throw new CorruptionError('BAD_BACKUP_LABEL', reason, { file: BACKUP_LABEL_PATH });
};

/**
 * Reads backup_label: lines of a name and a value (xlogrecovery.c, read_backup_label).
 * @throws CorruptionError BAD_BACKUP_LABEL
 */
export function parseBackupLabel(text: string): BackupLabel {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z][A-Z ]*): (.*?)\r?$/.exec(line);
    // The name that somebody has given to the backup may be anything, also several lines: the first of a name counts.
    if (match !== null && !values.has(match[1] as string)) values.set(match[1] as string, match[2] as string);
  }
  const startLsn = readPlace(values, 'START WAL LOCATION');
  const checkPointLsn = readPlace(values, 'CHECKPOINT LOCATION');
  if (checkPointLsn < startLsn) refuse('the checkpoint is before the beginning');
  return {
    startLsn,
    checkPointLsn,
    isFromStandby: values.get('BACKUP FROM') === 'standby',
    timelineId: readTimeline(values.get('START TIMELINE')),
    isIncremental: values.has('INCREMENTAL FROM LSN'),
  };
}

/** Behind the LSN may stand the name of its segment. */
function readPlace(values: ReadonlyMap<string, string>, name: string): Lsn {
  const text = /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}(?= |$)/.exec(values.get(name) ?? '')?.[0];
  return text === undefined ? refuse(`it has no ${name}`) : parseLsn(text);
}

function readTimeline(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : refuse(`"${text}" is no timeline`);
}
