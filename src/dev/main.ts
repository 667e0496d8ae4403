import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import { PageserverClient } from '../http/pageserver-client.ts';
import { SafekeeperClient } from '../http/safekeeper-client.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeHttp } from '../io/node/http.ts';
import { nodeRandom } from '../io/node/random.ts';
import { type CreatedTimeline, createTimeline } from './create-timeline.ts';

export type { CreatedTimeline };

export interface DevTimelineArguments {
  /** Made up where they are left out. */
  readonly tenantId?: TenantId;
  readonly timelineId?: TimelineId;
  readonly major: number;
  /** Such as `http://127.0.0.1:9898`. */
  readonly pageserverUrl: string;
  readonly safekeepers: readonly { readonly address: SafekeeperAddress; readonly httpUrl: string }[];
  /** For all of them, where they ask for one. */
  readonly token?: () => Promise<string>;
}

/** How long making a cluster may take, the first time. */
const CREATION_TIMEOUT_MS = 120_000;

const drawId = (): string => Buffer.from(nodeRandom.bytes(16)).toString('hex');

/** As createTimeline, over the network. */
export async function createDevTimeline(
  given: DevTimelineArguments,
  signal: AbortSignal,
): Promise<CreatedTimeline> {
  const http = nodeHttp((error) => {
    // Nothing is served here.
    throw error;
  });
  const access = {
    http,
    clock: nodeClock,
    timeoutMs: CREATION_TIMEOUT_MS,
    ...(given.token === undefined ? {} : { token: given.token }),
  };
  return await createTimeline(
    {
      tenantId: given.tenantId ?? parseTenantId(drawId()),
      timelineId: given.timelineId ?? parseTimelineId(drawId()),
      major: given.major,
      pageserver: new PageserverClient({ ...access, baseUrl: given.pageserverUrl }),
      safekeepers: given.safekeepers.map(({ address, httpUrl }) => ({
        address,
        client: new SafekeeperClient({ ...access, baseUrl: httpUrl }),
      })),
    },
    signal,
  );
}
