import { SLRUS, slruPageOf } from '../../postgres/files/slru.ts';
import type {
  MultixactOffsetsEffect,
  ParameterChangeEffect,
  SlruDeleteSegmentsEffect,
  SlruPageEffect,
  SlruTruncateEffect,
  SlruZeroPageEffect,
} from '../../redo/effects/effect.ts';
import { newestSlruPage } from '../../redo/effects/newest-slru-page.ts';
import type { HeadState } from './head-state.ts';
import type { IngestSink } from './ingest-sink.ts';

const TWO_POW_32 = 0x1_0000_0000;

/** What records do to SLRUs. Pages that get the record itself are only touched here: `flush` puts it. */
export class SlruIngest {
  readonly #state: HeadState;

  constructor(state: HeadState) {
    this.#state = state;
  }

  apply(
    effect: SlruPageEffect | SlruTruncateEffect | SlruDeleteSegmentsEffect | ParameterChangeEffect,
    sink: IngestSink,
  ): void {
    const { counters, slrus } = this.#state;
    switch (effect.kind) {
      case 'slru-zero-page':
        this.#zeroPage(effect);
        break;
      case 'slru-truncate':
        this.#truncate(effect, sink);
        break;
      case 'slru-delete-segments':
        slrus.removeRange(effect.slru, effect.startSegment, effect.endSegment, sink);
        break;
      case 'transaction-status':
        slrus.touch('clog', effect.page, false);
        break;
      case 'commit-timestamp':
        if (counters.settings.trackCommitTimestamp) slrus.touch('commit-timestamp', effect.page, false);
        break;
      case 'multixact-offsets':
        this.#setMultixactOffsets(effect);
        break;
      case 'multixact-members':
        slrus.touch('multixact-members', effect.page, false);
        break;
      case 'parameter-change':
        this.#changeParameters(effect, sink);
        break;
    }
  }

  #zeroPage(effect: SlruZeroPageEffect): void {
    const { offsetPages, slrus } = this.#state;
    if (effect.slru === 'multixact-offsets' && !offsetPages.zeroPage(effect.page)) return;
    slrus.touch(effect.slru, effect.page, true);
  }

  #setMultixactOffsets(effect: MultixactOffsetsEffect): void {
    const { offsetPages, slrus } = this.#state;
    const isNew = offsetPages.nextPage(effect, (page) => slrus.has('multixact-offsets', page));
    slrus.touch('multixact-offsets', effect.page, isNew);
  }

  #truncate(effect: SlruTruncateEffect, sink: IngestSink): void {
    const newest = newestSlruPage(effect.slru, this.#state.counters);
    if (newest !== undefined && SLRUS[effect.slru].pagePrecedes(newest, effect.cutoffPage)) return;
    this.#state.slrus.truncate(effect.slru, effect.cutoffPage, sink);
  }

  /** ActivateCommitTs, DeactivateCommitTs. The counters have taken the settings already. */
  #changeParameters(effect: ParameterChangeEffect, sink: IngestSink): void {
    const { counters, slrus } = this.#state;
    if (!effect.trackCommitTimestamp) {
      slrus.removeAll('commit-timestamp', sink);
      return;
    }
    const page = slruPageOf(SLRUS['commit-timestamp'], counters.nextXid % TWO_POW_32);
    slrus.makePage('commit-timestamp', page, sink);
  }
}
