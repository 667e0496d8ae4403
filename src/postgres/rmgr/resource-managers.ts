import { UnknownRecordError } from '../../base/errors.ts';
import { brinResourceManager } from './brin.ts';
import { btreeResourceManager } from './btree.ts';
import { clogResourceManager } from './clog.ts';
import { commitTimestampResourceManager } from './commit-timestamp.ts';
import { databaseResourceManager } from './database.ts';
import { genericResourceManager } from './generic.ts';
import { ginResourceManager } from './gin.ts';
import { gistResourceManager } from './gist.ts';
import { hashResourceManager } from './hash.ts';
import { heapResourceManager } from './heap.ts';
import { heap2ResourceManager } from './heap2.ts';
import { logicalMessageResourceManager } from './logical-message.ts';
import { multixactResourceManager } from './multixact.ts';
import { relationMapResourceManager } from './relation-map.ts';
import { replicationOriginResourceManager } from './replication-origin.ts';
import type { ResourceManager } from './resource-manager.ts';
import { sequenceResourceManager } from './sequence.ts';
import { smgrResourceManager } from './smgr.ts';
import { spgistResourceManager } from './spgist.ts';
import { standbyResourceManager } from './standby.ts';
import { tablespaceResourceManager } from './tablespace.ts';
import { xactResourceManager } from './xact.ts';
import { xlogResourceManager } from './xlog.ts';

/** All built-in resource managers (rmgrlist.h), in the order of their numbers. */
export const resourceManagers: readonly ResourceManager[] = [
  xlogResourceManager,
  xactResourceManager,
  smgrResourceManager,
  clogResourceManager,
  databaseResourceManager,
  tablespaceResourceManager,
  multixactResourceManager,
  relationMapResourceManager,
  standbyResourceManager,
  heap2ResourceManager,
  heapResourceManager,
  btreeResourceManager,
  hashResourceManager,
  ginResourceManager,
  gistResourceManager,
  sequenceResourceManager,
  spgistResourceManager,
  brinResourceManager,
  commitTimestampResourceManager,
  replicationOriginResourceManager,
  genericResourceManager,
  logicalMessageResourceManager,
];

/**
 * The resource manager of a record; `info` and `lsn` are for the message only.
 * @throws UnknownRecordError for a number that no built-in resource manager has, such as an extension's own.
 */
export function getResourceManager(id: number, info: number, lsn: number): ResourceManager {
  const manager = resourceManagers[id];
  if (manager === undefined) throw new UnknownRecordError(id, info, lsn);
  return manager;
}
