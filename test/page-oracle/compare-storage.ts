import type { TimelineId } from '../../src/base/ids.ts';
import { formatLsn } from '../../src/base/lsn.ts';
import { formatKey, type Key } from '../../src/pageserver/keyspace/key.ts';
import {
  KIND_DATABASE,
  KIND_RELATION_MAP,
  KIND_RELATION_SIZE,
  KIND_SLRU_SEGMENT,
  KIND_TABLESPACE,
  KIND_TWO_PHASE,
  relationBlockKey,
  SLRU_NAMES,
  slruBlockKey,
} from '../../src/pageserver/keyspace/keys.ts';
import { decodeSize } from '../../src/pageserver/keyspace/stored-values.ts';
import { SLRU_PAGES_PER_SEGMENT, type SlruName } from '../../src/postgres/files/slru.ts';
import { Page } from '../../src/postgres/page/page.ts';
import { BLOCK_BYTES, FORK_FREE_SPACE_MAP } from '../../src/postgres/wal/record-header.ts';
import { comparePages } from '../oracle/compare-recovery.ts';
import type { ReplayedCluster } from '../oracle/replayed-cluster.ts';
import {
  digestOf,
  type ExpectedFork,
  type ExpectedState,
  slruDigestOf,
  ZERO_SLRU_DIGEST,
} from './expected-state.ts';
import type { ScannedEntry } from './host-protocol.ts';
import { HostRequestError, type StorageHost } from './storage-host.ts';

const PAGES_AT_ONCE = 64;
/** Requests under way. */
const REQUESTS_AT_ONCE = 3;
const BASE_TABLESPACE = '1663/';
/** Of one comparison are told in full. */
const MISMATCHES_EXPLAINED = 5;

export interface Comparison {
  /** How it is called in messages. */
  readonly what: string;
  readonly timelineId: TimelineId;
  /** At or above the expected state's, and below the end of the record behind it. */
  readonly lsn: number;
  readonly expected: ExpectedState;
  /** The directory of which `expected` is, where it is still at hand: then the first difference is shown. */
  readonly cluster?: ReplayedCluster;
}

/** Compares all that storage has of a timeline at an LSN with what a stock server made of the same WAL. */
export class StorageComparison {
  readonly mismatches: string[] = [];
  pages = 0;
  readonly #host: StorageHost;
  readonly #comparison: Comparison;

  constructor(host: StorageHost, comparison: Comparison) {
    this.#host = host;
    this.#comparison = comparison;
  }

  async run(): Promise<void> {
    for (const part of [this.#compareForks, this.#compareSlrus, this.#compareSmall]) {
      await this.#orComplain('reading', () => part.call(this));
    }
  }

  /** What storage fails of is a mismatch. */
  async #orComplain(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof HostRequestError)) throw error;
      this.#complain(`${what}: ${error.message}`);
    }
  }

  #complain(what: string): void {
    const { what: name, timelineId, lsn } = this.#comparison;
    this.mismatches.push(`${name}: timeline ${timelineId} at ${formatLsn(lsn)}: ${what}`);
  }

  async #scan(kind: number): Promise<readonly ScannedEntry[]> {
    const { timelineId, lsn } = this.#comparison;
    return this.#host.request({ do: 'scan', timelineId, lsn, kind });
  }

  async #compareForks(): Promise<void> {
    const { expected } = this.#comparison;
    const sizes = new Map<string, number>();
    for (const { key, bytes } of await this.#scan(KIND_RELATION_SIZE)) {
      if (key.field5 === FORK_FREE_SPACE_MAP) continue;
      sizes.set(`${key.field2}/${key.field3}/${key.field4}/${key.field5}`, decodeSize(bytes));
    }
    const pieces: (() => Promise<void>)[] = [];
    for (const [name, fork] of expected.forks) {
      const blocks = sizes.get(name);
      sizes.delete(name);
      if (blocks !== fork.digests.length) {
        this.#complain(`relation ${name} has ${blocks} blocks instead of ${fork.digests.length}`);
      }
      const both = Math.min(blocks ?? 0, fork.digests.length);
      for (let first = 0; first < both; first += PAGES_AT_ONCE) {
        const count = Math.min(PAGES_AT_ONCE, both - first);
        pieces.push(() => this.#comparePages(name, fork, first, count));
      }
    }
    for (const [name, blocks] of sizes)
      this.#complain(`relation ${name} has ${blocks} blocks, but must not exist`);
    await inParallel(pieces);
  }

  async #comparePages(name: string, fork: ExpectedFork, first: number, count: number): Promise<void> {
    const { timelineId, lsn, cluster } = this.#comparison;
    const firstKey = relationBlockKey(fork.relation, fork.fork, first);
    const { bytes, failures } = await this.#host.request({ do: 'pages', timelineId, lsn, firstKey, count });
    for (let place = 0; place < count; place++) {
      this.pages++;
      const block = first + place;
      const page = bytes.subarray(place * BLOCK_BYTES, (place + 1) * BLOCK_BYTES);
      const failure = failures.get(place);
      if (failure === undefined && digestOf(page) === fork.digests[block]) continue;
      const theirs = cluster?.forks.get(name)?.pages[block];
      const difference =
        failure ??
        (cluster === undefined
          ? 'it was another page before'
          : comparePages(new Page(page.slice()), theirs, true));
      await this.#complainOfPage(`relation ${name} block ${block}`, `${difference}`, {
        ...firstKey,
        index: block,
      });
    }
  }

  async #complainOfPage(what: string, difference: string, key: Key): Promise<void> {
    if (this.mismatches.length >= MISMATCHES_EXPLAINED) return this.#complain(`${what}: ${difference}`);
    const { timelineId, lsn } = this.#comparison;
    const layers = await this.#host.request({ do: 'layers', timelineId, lsn, key });
    const visited = layers.map((layer) => `\n    ${layer}`).join('');
    this.#complain(`${what} (${formatKey(key)}): ${difference}; a read visits${visited}`);
  }

  async #compareSlrus(): Promise<void> {
    const segments = new Map<SlruName, Map<number, number>>(SLRU_NAMES.map((name) => [name, new Map()]));
    for (const { key, bytes } of await this.#scan(KIND_SLRU_SEGMENT)) {
      segments.get(SLRU_NAMES[key.field2] as SlruName)?.set(key.field4, decodeSize(bytes));
    }
    const pieces: (() => Promise<void>)[] = [];
    for (const [slru, ours] of segments) {
      const theirs = new Map(this.#comparison.expected.slrus.get(slru));
      for (const [segment, count] of ours) {
        const wanted: number[] = [];
        for (let place = 0; place < count; place++) {
          const number = segment * SLRU_PAGES_PER_SEGMENT + place;
          wanted.push(theirs.get(number) ?? ZERO_SLRU_DIGEST);
          theirs.delete(number);
        }
        const what = `${slru} segment ${segment}`;
        pieces.push(() => this.#orComplain(what, () => this.#compareSegment(slru, segment, wanted)));
      }
      for (const [number, digest] of theirs) {
        if (digest !== ZERO_SLRU_DIGEST) this.#complain(`${slru} page ${number} does not exist`);
      }
    }
    await inParallel(pieces);
  }

  async #compareSegment(slru: SlruName, segment: number, wanted: readonly number[]): Promise<void> {
    const { timelineId, lsn, cluster } = this.#comparison;
    const bytes = await this.#host.request({ do: 'slru', timelineId, lsn, slru, segment });
    if (bytes?.length !== wanted.length * BLOCK_BYTES) {
      this.#complain(`${slru} segment ${segment} has ${bytes?.length} bytes`);
      return;
    }
    for (const [place, digest] of wanted.entries()) {
      this.pages++;
      const page = bytes.subarray(place * BLOCK_BYTES, (place + 1) * BLOCK_BYTES);
      if (slruDigestOf(page) === digest) continue;
      const number = segment * SLRU_PAGES_PER_SEGMENT + place;
      const theirs = cluster?.slrus[slru].get(number)?.bytes;
      const offset = page.findIndex((byte, at) => byte !== (theirs?.[at] ?? 0));
      const shown = `${page[offset]} instead of ${theirs?.[offset]} at offset ${offset}`;
      await this.#complainOfPage(`${slru} page ${number}`, shown, slruBlockKey(slru, number));
    }
  }

  async #compareSmall(): Promise<void> {
    const { expected } = this.#comparison;
    const pair = ({ key }: ScannedEntry): string => `${key.field2}/${key.field3}`;
    const maps = await this.#scan(KIND_RELATION_MAP);
    const ours = new Map(maps.map((entry) => [pair(entry), entry.bytes]));
    this.#compareContents('relation map', ours, expected.relationMaps);
    const prepared = await this.#scan(KIND_TWO_PHASE);
    const byXid = new Map(prepared.map(({ key, bytes }) => [key.index, bytes]));
    this.#compareContents('prepared transaction', byXid, expected.prepared);
    const inBase = (names: Iterable<string>): Set<string> =>
      new Set([...names].filter((name) => name.startsWith(BASE_TABLESPACE)));
    const databases = (await this.#scan(KIND_DATABASE)).map(pair);
    // Elsewhere they come and go with the relations in them, which no record tells.
    this.#compareNames('database', inBase(databases), inBase(expected.databases));
    const tablespaces = (await this.#scan(KIND_TABLESPACE)).map(({ key }) => key.index);
    this.#compareNames('tablespace', new Set(tablespaces), expected.tablespaces);
  }

  #compareContents<Name>(
    what: string,
    ours: ReadonlyMap<Name, Uint8Array>,
    theirs: ReadonlyMap<Name, Uint8Array>,
  ): void {
    this.#compareNames(what, new Set(ours.keys()), new Set(theirs.keys()));
    for (const [name, content] of ours) {
      const other = theirs.get(name);
      if (other !== undefined && Buffer.compare(content, other) !== 0)
        this.#complain(`the content of ${what} ${name}`);
    }
  }

  #compareNames<Name>(what: string, ours: ReadonlySet<Name>, theirs: ReadonlySet<Name>): void {
    for (const name of ours.difference(theirs)) this.#complain(`${what} ${name} must not exist`);
    for (const name of theirs.difference(ours)) this.#complain(`${what} ${name} does not exist`);
  }
}

async function inParallel(pieces: readonly (() => Promise<void>)[]): Promise<void> {
  const rest = pieces.values();
  const work = async (): Promise<void> => {
    for (const piece of rest) await piece();
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, work));
}
