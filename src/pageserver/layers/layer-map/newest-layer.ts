import type { LayerDescription } from '../layer-description.ts';

/**
 * The best answer so far of a search for the newest layer at a key: the one with the highest end, and of those the one
 * that reaches down farthest. To be used again and again.
 */
export class NewestLayer<L extends LayerDescription> {
  layer: L | undefined = undefined;
  lsnStart = 0;
  /** 0: nothing was found. */
  lsnEnd = 0;

  clear(): void {
    this.layer = undefined;
    this.lsnStart = 0;
    this.lsnEnd = 0;
  }

  offer(layer: L, lsnStart: number, lsnEnd: number): void {
    if (lsnEnd < this.lsnEnd || (lsnEnd === this.lsnEnd && lsnStart >= this.lsnStart)) return;
    this.layer = layer;
    this.lsnStart = lsnStart;
    this.lsnEnd = lsnEnd;
  }
}
