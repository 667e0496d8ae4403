import {
  isSegmentTruncated,
  SLRU_PAGES_PER_SEGMENT,
  SLRUS,
  slruSegmentOfPage,
} from '../../src/postgres/files/slru.ts';
import {
  truncateVisibilityMapPage,
  visibilityMapBlock,
  visibilityMapBlocks,
} from '../../src/postgres/page/visibility-map.ts';
import type { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { FORK_MAIN, FORK_VISIBILITY_MAP } from '../../src/postgres/wal/record-header.ts';
import type { CheckpointCounters } from '../../src/redo/effects/checkpoint-counters.ts';
import { advanceCounters, createCounters } from '../../src/redo/effects/counters.ts';
import type {
  Effect,
  MultixactOffsetsEffect,
  OriginAdvanceEffect,
  ParameterChangeEffect,
  RelationTruncateEffect,
  SlruDeleteSegmentsEffect,
  SlruTruncateEffect,
  SlruZeroPageEffect,
} from '../../src/redo/effects/effect.ts';
import { MultixactOffsetPages } from '../../src/redo/effects/multixact-offset-pages.ts';
import { newestSlruPage } from '../../src/redo/effects/newest-slru-page.ts';
import { applySlruPageEffect } from '../../src/redo/effects/slru-pages.ts';
import type { RedoSettings } from '../../src/redo/redo-types.ts';
import { findVisibilityClears, redoVisibilityClears, VisibilityClears } from '../../src/redo/visibility.ts';
import type { ReplayedCluster } from './replayed-cluster.ts';

/** Applies to a cluster in memory what records do outside of the pages that they name. */
export class EffectApplier {
  readonly counters: CheckpointCounters;
  /** By origin: how far its changes have been replayed here. */
  readonly origins = new Map<number, { remoteLsn: number; localLsn: number }>();
  redoSettings: RedoSettings;
  readonly #cluster: ReplayedCluster;
  readonly #hasChecksums: boolean;
  readonly #offsetPages = new MultixactOffsetPages();
  readonly #clears = new VisibilityClears();

  constructor(cluster: ReplayedCluster) {
    this.#cluster = cluster;
    this.counters = createCounters(cluster.control);
    this.#hasChecksums = cluster.control.dataChecksumVersion !== 0;
    this.redoSettings = { hintBitsAreLogged: this.#hasChecksums || cluster.control.walLogHints };
  }

  advance(record: DecodedRecord): void {
    advanceCounters(this.counters, record);
  }

  /** Visibility map bits that heap records clear without naming the map's page. */
  clearVisibility(record: DecodedRecord): void {
    const clears = this.#clears;
    const count = findVisibilityClears(record, clears);
    for (let index = 0; index < count; index++) {
      const relation = {
        tablespace: clears.tablespace,
        database: clears.database,
        relation: clears.relation,
      };
      const mapBlock = visibilityMapBlock(clears.heapBlocks[index] as number);
      const page = this.#cluster.makeFork(relation, FORK_VISIBILITY_MAP).makePage(mapBlock);
      redoVisibilityClears(page, record, mapBlock);
    }
  }

  apply(effect: Effect): void {
    const cluster = this.#cluster;
    switch (effect.kind) {
      case 'relation-create':
        cluster.makeFork(effect.relation, effect.fork);
        break;
      case 'relation-truncate':
        this.#truncate(effect);
        break;
      case 'relation-drop':
        cluster.dropRelation(effect.relation);
        break;
      case 'database-create':
        cluster.databases.add(`${effect.tablespace}/${effect.database}`);
        break;
      case 'database-copy':
        cluster.copyDatabase(
          { tablespace: effect.sourceTablespace, database: effect.sourceDatabase },
          { tablespace: effect.tablespace, database: effect.database },
        );
        break;
      case 'database-drop':
        for (const tablespace of effect.tablespaces) cluster.dropDatabase(tablespace, effect.database);
        break;
      case 'relation-map':
        cluster.relationMaps.set(`${effect.tablespace}/${effect.database}`, effect.content);
        break;
      case 'slru-zero-page':
        this.#zeroSlruPage(effect);
        break;
      case 'slru-truncate':
        this.#truncateSlru(effect);
        break;
      case 'slru-delete-segments':
        this.#deleteSegments(effect);
        break;
      case 'transaction-status':
        applySlruPageEffect(cluster.makeSlruPage('clog', effect.page), effect);
        break;
      case 'commit-timestamp':
        if (!this.counters.settings.trackCommitTimestamp) break;
        applySlruPageEffect(cluster.makeSlruPage('commit-timestamp', effect.page), effect);
        break;
      case 'multixact-offsets':
        this.#setMultixactOffsets(effect);
        break;
      case 'multixact-members':
        applySlruPageEffect(cluster.makeSlruPage('multixact-members', effect.page), effect);
        break;
      case 'prepared-put':
        cluster.prepared.set(effect.xid, effect.content);
        break;
      case 'prepared-remove':
        cluster.prepared.delete(effect.xid);
        break;
      case 'origin-advance':
        this.#advanceOrigin(effect);
        break;
      case 'origin-drop':
        this.origins.delete(effect.origin);
        break;
      case 'parameter-change':
        this.#changeParameters(effect);
        break;
      case 'tablespace-create':
        cluster.tablespaces.add(effect.tablespace);
        break;
      case 'tablespace-drop':
        cluster.tablespaces.delete(effect.tablespace);
        break;
      case 'logical-message':
      case 'invalidations':
      case 'running-transactions':
      case 'locks':
      case 'checkpoint':
      case 'full-page-writes':
      case 'end-of-recovery':
      case 'overwrite-contrecord':
      case 'backup-end':
      case 'restore-point':
      case 'next-oid':
        // Nothing in the directory that is compared; the counters have been advanced.
        break;
      default:
        throw new Error(`no such effect: ${(effect satisfies never as Effect).kind}`);
    }
  }

  /** smgr_redo, SMGR_TRUNCATE; visibilitymap_prepare_truncate. */
  #truncate(effect: RelationTruncateEffect): void {
    const { relation, blocks } = effect;
    const main = this.#cluster.makeFork(relation, FORK_MAIN);
    if (effect.heap) main.truncate(blocks);
    if (!effect.visibilityMap) return;
    const { tablespace, database, relation: number } = relation;
    const map = this.#cluster.findFork(tablespace, database, number, FORK_VISIBILITY_MAP);
    if (map === undefined) return;
    const mapBlock = visibilityMapBlock(blocks);
    if (visibilityMapBlocks(blocks) > mapBlock && map.blocks > mapBlock) {
      truncateVisibilityMapPage(map.makePage(mapBlock), blocks);
    }
    map.truncate(visibilityMapBlocks(blocks));
  }

  #zeroSlruPage(effect: SlruZeroPageEffect): void {
    if (effect.slru === 'multixact-offsets' && !this.#offsetPages.zeroPage(effect.page)) return;
    applySlruPageEffect(this.#cluster.makeSlruPage(effect.slru, effect.page), effect);
  }

  #setMultixactOffsets(effect: MultixactOffsetsEffect): void {
    const pages = this.#cluster.slrus['multixact-offsets'];
    const isNew = this.#offsetPages.nextPage(effect, (number) => pages.has(number));
    const page = this.#cluster.makeSlruPage('multixact-offsets', effect.page);
    if (isNew) page.bytes.fill(0);
    applySlruPageEffect(page, effect);
  }

  #truncateSlru(effect: SlruTruncateEffect): void {
    const slru = SLRUS[effect.slru];
    const pages = this.#cluster.slrus[effect.slru];
    const newest = newestSlruPage(effect.slru, this.counters);
    if (newest !== undefined && slru.pagePrecedes(newest, effect.cutoffPage)) return;
    for (const page of [...pages.keys()]) {
      if (isSegmentTruncated(slru, slruSegmentOfPage(page), effect.cutoffPage)) pages.delete(page);
    }
  }

  #deleteSegments(effect: SlruDeleteSegmentsEffect): void {
    const pages = this.#cluster.slrus[effect.slru];
    let segment = effect.startSegment;
    while (segment !== effect.endSegment) {
      const first = segment * SLRU_PAGES_PER_SEGMENT;
      for (let page = first; page < first + SLRU_PAGES_PER_SEGMENT; page++) pages.delete(page);
      segment = segment === effect.lastSegment ? 0 : segment + 1;
    }
  }

  /** replorigin_advance. */
  #advanceOrigin(effect: OriginAdvanceEffect): void {
    const known = this.origins.get(effect.origin);
    const remoteLsn = effect.force ? effect.remoteLsn : Math.max(known?.remoteLsn ?? 0, effect.remoteLsn);
    this.origins.set(effect.origin, { remoteLsn, localLsn: Math.max(known?.localLsn ?? 0, effect.localLsn) });
  }

  #changeParameters(effect: ParameterChangeEffect): void {
    this.redoSettings = { hintBitsAreLogged: this.#hasChecksums || effect.walLogHints };
    const pages = this.#cluster.slrus['commit-timestamp'];
    if (!effect.trackCommitTimestamp) pages.clear();
    else this.#cluster.makeSlruPage('commit-timestamp', this.#commitTimestampPage());
  }

  #commitTimestampPage(): number {
    return Math.floor((this.counters.nextXid % 0x1_0000_0000) / SLRUS['commit-timestamp'].entriesPerPage);
  }
}
