import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import type { SafekeeperAddress } from '../contracts/membership.ts';
import type { HttpClientOptions } from '../http/http-client.ts';
import { PageserverClient } from '../http/pageserver-client.ts';
import { SafekeeperClient } from '../http/safekeeper-client.ts';
import { formatAddress } from '../io/format-address.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { nodeHttp } from '../io/node/http.ts';
import { nodeRandom } from '../io/node/random.ts';
import { readText } from '../service/credentials.ts';
import { type CreatedTimeline, createTimeline } from './create-timeline.ts';

export type { CreatedTimeline };

export interface DevTimelineArguments {
  /** Made up where they are left out. */
  readonly tenantId?: TenantId;
  readonly timelineId?: TimelineId;
  readonly major: number;
  /** Such as `http://127.0.0.1:9898`. The safekeepers are spoken to by the same protocol. */
  readonly pageserverUrl: string;
  readonly safekeepers: readonly (SafekeeperAddress & { readonly httpPort: number })[];
  /** Where the pageserver asks for one. */
  readonly token?: () => Promise<string>;
  /** Where the safekeepers do. */
  readonly safekeeperToken?: () => Promise<string>;
  /** PEM file of the authorities that their certificates are from. Without it those that the run time knows. */
  readonly authoritiesPath?: string;
}

/** How long making a cluster may take, the first time. */
const CREATION_TIMEOUT_MS = 120_000;

const drawId = (): string => Buffer.from(nodeRandom.bytes(16)).toString('hex');

/** As createTimeline, over the network. */
export async function createDevTimeline(
  given: DevTimelineArguments,
  signal: AbortSignal,
): Promise<CreatedTimeline> {
  const { pageserverUrl, authoritiesPath } = given;
  const authorities = authoritiesPath === undefined ? undefined : await readText(nodeFiles, authoritiesPath);
  const accessTo = (baseUrl: string, token: (() => Promise<string>) | undefined): HttpClientOptions => ({
    baseUrl,
    http,
    clock: nodeClock,
    timeoutMs: CREATION_TIMEOUT_MS,
    ...(token === undefined ? {} : { token }),
    ...(authorities === undefined
      ? {}
      : { trust: { authorities, serverName: bareHost(new URL(baseUrl).hostname) } }),
  });
  const { protocol } = new URL(pageserverUrl);
  return await createTimeline(
    {
      tenantId: given.tenantId ?? parseTenantId(drawId()),
      timelineId: given.timelineId ?? parseTimelineId(drawId()),
      major: given.major,
      pageserver: new PageserverClient(accessTo(pageserverUrl, given.token)),
      safekeepers: given.safekeepers.map(({ id, host, pgPort, httpPort }) => {
        const url = `${protocol}//${formatAddress({ host, port: httpPort })}`;
        return {
          address: { id, host, pgPort },
          client: new SafekeeperClient(accessTo(url, given.safekeeperToken)),
        };
      }),
    },
    signal,
  );
}

const http = nodeHttp((error) => {
  // Nothing is served here.
  throw error;
});

/** Without the brackets of an address of IPv6. */
const bareHost = (host: string): string => host.replace(/^\[(.*)\]$/, '$1');
