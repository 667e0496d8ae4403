import { z } from 'zod';
import type { TenantId } from '../base/ids.ts';
import { formatLsn } from '../base/lsn.ts';
import type { MembershipConfiguration } from '../contracts/membership.ts';
import {
  type DigestRange,
  digestSchema,
  type MembershipSwitchResult,
  membershipRequestSchema,
  membershipSwitchResultSchema,
  type PullTimelineRequest,
  type PullTimelineResult,
  pullTimelineResultSchema,
  pullTimelineSchema,
  type SafekeeperStatus,
  safekeeperStatusSchema,
  type TenantDeleteResult,
  type TermBumpResult,
  type TimelineCreateRequest,
  type TimelineDeleteResult,
  type TimelineDigest,
  type TimelineKey,
  type TimelineStatus,
  tenantDeleteResultSchema,
  termBumpResultSchema,
  timelineCreateSchema,
  timelineDeleteResultSchema,
  timelineKeySchema,
  timelineListSchema,
  timelineStatusSchema,
} from '../contracts/safekeeper-api.ts';
import { HttpClient, type HttpClientOptions } from './http-client.ts';

interface DeleteQuery {
  readonly isLocalOnly?: boolean;
}

/** A safekeeper's HTTP API: docs/safekeeper-http.md. Errors are those of `HttpClient`. */
export class SafekeeperClient {
  readonly #client: HttpClient;

  constructor(options: HttpClientOptions) {
    this.#client = new HttpClient(options);
  }

  status(signal: AbortSignal): Promise<SafekeeperStatus> {
    return this.#client.getJson({ method: 'GET', path: '/v1/status', signal }, safekeeperStatusSchema);
  }

  async createTimeline(timeline: TimelineCreateRequest, signal: AbortSignal): Promise<void> {
    const body = z.encode(timelineCreateSchema, timeline);
    await this.#client.send({ method: 'POST', path: '/v1/tenant/timeline', body, signal });
  }

  listTimelines(signal: AbortSignal): Promise<TimelineKey[]> {
    return this.#client.getJson({ method: 'GET', path: '/v1/tenant/timeline', signal }, timelineListSchema);
  }

  timelineStatus(key: TimelineKey, signal: AbortSignal): Promise<TimelineStatus> {
    return this.#client.getJson({ method: 'GET', path: pathOf(key), signal }, timelineStatusSchema);
  }

  deleteTimeline(key: TimelineKey, options: DeleteQuery, signal: AbortSignal): Promise<TimelineDeleteResult> {
    return this.#client.getJson(
      { method: 'DELETE', path: pathOf(key), query: deleteQuery(options), signal },
      timelineDeleteResultSchema,
    );
  }

  deleteTenant(tenantId: TenantId, options: DeleteQuery, signal: AbortSignal): Promise<TenantDeleteResult> {
    return this.#client.getJson(
      { method: 'DELETE', path: `/v1/tenant/${tenantId}`, query: deleteQuery(options), signal },
      tenantDeleteResultSchema,
    );
  }

  pullTimeline(request: PullTimelineRequest, signal: AbortSignal): Promise<PullTimelineResult> {
    const body = z.encode(pullTimelineSchema, request);
    return this.#client.getJson(
      { method: 'POST', path: '/v1/pull_timeline', body, signal },
      pullTimelineResultSchema,
    );
  }

  /** @param destinationId the safekeeper that the copy is for */
  snapshot(key: TimelineKey, destinationId: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#client.getStream({
      method: 'GET',
      path: `${pathOf(key)}/snapshot/${destinationId}`,
      signal,
    });
  }

  setMembership(
    key: TimelineKey,
    mconf: MembershipConfiguration,
    signal: AbortSignal,
  ): Promise<MembershipSwitchResult> {
    const body = z.encode(membershipRequestSchema, { mconf });
    return this.#client.getJson(
      { method: 'PUT', path: `${pathOf(key)}/membership`, body, signal },
      membershipSwitchResultSchema,
    );
  }

  excludeTimeline(
    key: TimelineKey,
    mconf: MembershipConfiguration,
    signal: AbortSignal,
  ): Promise<TimelineDeleteResult> {
    const body = z.encode(membershipRequestSchema, { mconf });
    return this.#client.getJson(
      { method: 'PUT', path: `${pathOf(key)}/exclude`, body, signal },
      timelineDeleteResultSchema,
    );
  }

  digest(key: TimelineKey, range: DigestRange, signal: AbortSignal): Promise<TimelineDigest> {
    const query = { from_lsn: formatLsn(range.from_lsn), until_lsn: formatLsn(range.until_lsn) };
    return this.#client.getJson(
      { method: 'GET', path: `${pathOf(key)}/digest`, query, signal },
      digestSchema,
    );
  }

  /** @param term undefined: the next one */
  bumpTerm(key: TimelineKey, term: number | undefined, signal: AbortSignal): Promise<TermBumpResult> {
    return this.#client.getJson(
      { method: 'POST', path: `${pathOf(key)}/term_bump`, body: { term }, signal },
      termBumpResultSchema,
    );
  }
}

function pathOf(key: TimelineKey): string {
  const { tenant_id, timeline_id } = z.encode(timelineKeySchema, key);
  return `/v1/tenant/${tenant_id}/timeline/${timeline_id}`;
}

function deleteQuery({ isLocalOnly = false }: DeleteQuery): { only_local: string | undefined } {
  return { only_local: isLocalOnly ? 'true' : undefined };
}
