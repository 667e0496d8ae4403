/** Of what is counted, a sixteenth of a microsecond. */
const UNITS_PER_MS = 16_000;
/** So many buckets for each power of two: a figure is at most 1.6 % off. */
const BUCKETS_PER_OCTAVE = 64;
const OCTAVE_BITS = 6;
const OCTAVES = 26;

export interface Percentiles {
  readonly p50Us: number;
  readonly p95Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

/** How long each of very many things took, in buckets that grow with it: counting costs no memory and little time. */
export class Latencies {
  readonly counts: Float64Array;
  count = 0;
  #maxMs = 0;

  constructor(counts: Float64Array = new Float64Array((OCTAVES + 2) * BUCKETS_PER_OCTAVE)) {
    this.counts = counts;
  }

  add(durationMs: number): void {
    const units = Math.min(0x7fff_ffff, durationMs * UNITS_PER_MS) | 0;
    this.counts[bucketOf(units)] = (this.counts[bucketOf(units)] as number) + 1;
    this.count++;
    if (durationMs > this.#maxMs) this.#maxMs = durationMs;
  }

  percentiles(): Percentiles {
    const at = (part: number): number => {
      let left = part * this.count;
      for (let bucket = 0; bucket < this.counts.length; bucket++) {
        left -= this.counts[bucket] as number;
        if (left <= 0) return (startOf(bucket) / UNITS_PER_MS) * 1000;
      }
      return this.#maxMs * 1000;
    };
    const [p50Us, p95Us, p99Us, p999Us] = [at(0.5), at(0.95), at(0.99), at(0.999)];
    return { p50Us, p95Us, p99Us, p999Us, maxUs: this.#maxMs * 1000 };
  }
}

/** The first octave has a bucket for each unit. */
function bucketOf(units: number): number {
  if (units < BUCKETS_PER_OCTAVE) return units;
  const shift = 31 - Math.clz32(units) - OCTAVE_BITS;
  return (shift + 1) * BUCKETS_PER_OCTAVE + (units >> shift) - BUCKETS_PER_OCTAVE;
}

function startOf(bucket: number): number {
  if (bucket < BUCKETS_PER_OCTAVE) return bucket;
  const shift = Math.floor(bucket / BUCKETS_PER_OCTAVE) - 1;
  return ((bucket % BUCKETS_PER_OCTAVE) + BUCKETS_PER_OCTAVE) * 2 ** shift;
}
