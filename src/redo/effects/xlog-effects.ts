import { XLOG_FPI, XLOG_FPI_FOR_HINT, xlogResourceManager } from '../../postgres/rmgr/xlog.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../../postgres/wal/record-header.ts';
import type { Effect } from './effect.ts';

const NO_EFFECTS: readonly Effect[] = [];

/** xlog_redo (xlog.c) and xlogrecovery_redo (xlogrecovery.c). Full-page images are pages' own business. */
export function xlogEffects(record: DecodedRecord): readonly Effect[] {
  const info = record.info & ~RECORD_INFO_MASK;
  if (info === XLOG_FPI || info === XLOG_FPI_FOR_HINT) return NO_EFFECTS;
  const body = xlogResourceManager.decodeBody(record);
  switch (body.kind) {
    case 'CHECKPOINT_SHUTDOWN':
    case 'CHECKPOINT_ONLINE':
      return [
        { kind: 'checkpoint', shutdown: body.kind === 'CHECKPOINT_SHUTDOWN', checkPoint: body.checkPoint },
      ];
    case 'NEXTOID':
      return [{ kind: 'next-oid', nextOid: body.nextOid }];
    case 'BACKUP_END':
      return [{ kind: 'backup-end', startLsn: body.startLsn }];
    case 'PARAMETER_CHANGE':
      return [{ ...body, kind: 'parameter-change' }];
    case 'RESTORE_POINT':
      return [{ kind: 'restore-point', time: body.time, name: body.name }];
    case 'FPW_CHANGE':
      return [{ kind: 'full-page-writes', fullPageWrites: body.fullPageWrites }];
    case 'END_OF_RECOVERY':
      return [{ ...body, kind: 'end-of-recovery' }];
    case 'OVERWRITE_CONTRECORD':
      return [{ kind: 'overwrite-contrecord', overwrittenLsn: body.overwrittenLsn, time: body.time }];
    case 'NOOP':
    case 'SWITCH':
    case 'FPI':
    case 'FPI_FOR_HINT':
    case 'CHECKPOINT_REDO':
      return NO_EFFECTS;
  }
}
