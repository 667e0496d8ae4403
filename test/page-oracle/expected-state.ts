import { crc32 } from 'node:zlib';
import type { RelationLocator } from '../../src/postgres/files/relation-locator.ts';
import type { SlruName } from '../../src/postgres/files/slru.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { FORK_FREE_SPACE_MAP } from '../../src/postgres/wal/record-header.ts';
import { blankPage } from '../oracle/compare-recovery.ts';
import type { ReplayedCluster } from '../oracle/replayed-cluster.ts';

export interface ExpectedFork {
  readonly relation: RelationLocator;
  readonly fork: number;
  /** Of each block, blanked (blankPage). */
  readonly digests: Uint32Array;
}

const scratch = new Page();

/** Of what is compared of a page: all but its checksum and the hole in its middle. */
export function digestOf(bytes: Uint8Array): number {
  scratch.bytes.set(bytes);
  blankPage(scratch);
  return crc32(scratch.bytes);
}

const ZERO_DIGEST = digestOf(new Page().bytes);

/** What a cluster was at an LSN, so small that many can be kept: of pages there are only digests. */
export class ExpectedState {
  readonly lsn: number;
  /** By `tablespace/database/relation/fork`. No free space maps. */
  readonly forks = new Map<string, ExpectedFork>();
  readonly slrus = new Map<SlruName, Map<number, number>>();
  readonly relationMaps: ReadonlyMap<string, Uint8Array>;
  readonly prepared: ReadonlyMap<number, Uint8Array>;
  readonly databases: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<number>;
  readonly pages: number;

  /**
   * @param prepared what is prepared at this LSN. Files there are only of what was so at the last checkpoint: they are
   * checked against it.
   */
  constructor(lsn: number, cluster: ReplayedCluster, prepared: ReadonlyMap<number, Uint8Array>) {
    this.lsn = lsn;
    let pages = 0;
    for (const [name, { relation, fork, pages: content }] of cluster.forks) {
      if (fork === FORK_FREE_SPACE_MAP) continue;
      const digests = new Uint32Array(content.length);
      for (const [block, page] of content.entries()) {
        digests[block] = page === undefined ? ZERO_DIGEST : digestOf(page.bytes);
      }
      pages += digests.length;
      this.forks.set(name, { relation, fork, digests });
    }
    for (const [name, content] of Object.entries(cluster.slrus)) {
      const digests = new Map<number, number>();
      for (const [number, page] of content) digests.set(number, crc32(page.bytes));
      pages += digests.size;
      this.slrus.set(name as SlruName, digests);
    }
    this.pages = pages;
    this.relationMaps = cluster.relationMaps;
    this.databases = cluster.databases;
    this.tablespaces = cluster.tablespaces;
    for (const [xid, content] of cluster.prepared) {
      const logged = prepared.get(xid);
      if (logged === undefined || Buffer.compare(content, logged) !== 0) {
        throw new Error(`the standby's file of the prepared transaction ${xid} is not what was logged`);
      }
    }
    this.prepared = prepared;
  }
}

/** Of an SLRU's page, which has no hole. */
export const slruDigestOf = (bytes: Uint8Array): number => crc32(bytes);
export const ZERO_SLRU_DIGEST: number = slruDigestOf(new Page().bytes);
