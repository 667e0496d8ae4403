import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { ServerTrust } from '../../src/io/sockets.ts';
import {
  connectPageService,
  type PageServiceDoors,
  type PageServiceOptions,
} from '../../src/page-client/connect-page-service.ts';
import { PageClient } from '../../src/page-client/page-client.ts';
import { type CopiedOut, copyFromPageService } from '../../src/page-client/page-commands.ts';
import type { StartSetSource } from './start-set-directory.ts';

export const PAGE_SERVICE_DOORS: PageServiceDoors = {
  sockets: nodeSockets((error) => {
    throw error;
  }),
  clock: nodeClock,
  random: nodeRandom,
};

export interface PageServiceAddress {
  readonly port: number;
  readonly token?: string;
  readonly tls?: ServerTrust;
}

export interface PageServicePlace extends PageServiceAddress {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** How to connect to a page service on this machine, for as long as the connection lives. */
export function pageServiceOptions({ port, token, tls }: PageServiceAddress): PageServiceOptions {
  return {
    address: { host: '127.0.0.1', port },
    connectTimeoutMs: 10_000,
    signal: new AbortController().signal,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  };
}

/** Copies over a connection of its own, which ends with it. */
export async function* copyFrom(
  place: PageServiceAddress,
  command: CopiedOut,
): AsyncGenerator<Uint8Array, void, undefined> {
  const connection = await connectPageService(PAGE_SERVICE_DOORS, pageServiceOptions(place));
  try {
    yield* copyFromPageService(connection, command);
  } finally {
    await connection.close();
  }
}

/** A start set of a pageserver, and the pages that it leaves out, as a compute gets them. */
export class PageServiceSource implements StartSetSource, AsyncDisposable {
  readonly #place: PageServicePlace;
  readonly #client: PageClient;

  private constructor(place: PageServicePlace, client: PageClient) {
    this.#place = place;
    this.#client = client;
  }

  static async connect(place: PageServicePlace): Promise<PageServiceSource> {
    const { tenantId, timelineId } = place;
    const options = { ...pageServiceOptions(place), tenantId, timelineId };
    const client = await PageClient.connect(PAGE_SERVICE_DOORS, options);
    return new PageServiceSource(place, client);
  }

  stream(...[lsn, form]: Parameters<StartSetSource['stream']>): AsyncIterable<Uint8Array> {
    const { tenantId, timelineId } = this.#place;
    const command = { kind: 'StartSet', tenantId, timelineId, form } as const;
    return copyFrom(this.#place, lsn === undefined ? command : { ...command, lsn });
  }

  async slruSegment(
    ...[{ slru, segment }, lsn]: Parameters<StartSetSource['slruSegment']>
  ): Promise<Uint8Array> {
    if (slru === 'commit-timestamp') throw new Error('a page service has no commit timestamps');
    return await this.#client.slruSegment({ requestLsn: lsn, notModifiedSince: lsn }, slru, segment);
  }

  async readPages(
    ...[{ relation, contentFork }, block, pages, lsn]: Parameters<StartSetSource['readPages']>
  ): Promise<void> {
    const lsns = { requestLsn: lsn, notModifiedSince: lsn };
    await Promise.all(
      pages.map((page, index) =>
        this.#client.page(lsns, relation, contentFork, block + index, { target: page.bytes }),
      ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }
}
