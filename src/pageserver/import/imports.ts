import type { Files } from '../../io/files.ts';
import type { AdministrationExtensions } from '../administration/extensions.ts';
import { importBaseBackup } from './import-base-backup.ts';
import { importWal } from './import-wal.ts';

/** What the HTTP API offers of imports. @param files where what comes is kept while it is imported */
export function imports(
  files: Files,
): Required<Pick<AdministrationExtensions, 'importBaseBackup' | 'importWal'>> {
  return {
    importBaseBackup: (tenant, timelineId, query, tar, signal) =>
      importBaseBackup(files, tenant, timelineId, query, tar, signal),
    importWal: (active, query, tar, signal) => importWal(files, active, query, tar, signal),
  };
}
