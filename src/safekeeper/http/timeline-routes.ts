import { z } from 'zod';
import { tenantIdSchema, timelineIdSchema } from '../../contracts/api-values.ts';
import {
  digestQuerySchema,
  digestSchema,
  membershipRequestSchema,
  membershipSwitchResultSchema,
  safekeeperTimelineInfoSchema,
  termBumpResultSchema,
  termBumpSchema,
  timelineCopySchema,
  timelineDeleteResultSchema,
  timelineKeySchema,
} from '../../contracts/safekeeper-api.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { SafekeeperAdministration } from './administration.ts';
import { ofTimeline, TIMELINE_PATH } from './resources.ts';

/** Adds what is done to one timeline that is here. */
export function addTimelineRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  addMembershipRoutes(app, safekeeper);
  app.addJson({
    method: 'post',
    path: '/v1/tenant/{tenant_id}/timeline/{source}/copy',
    summary: 'Make a new timeline of the beginning of another',
    access: () => WHOLE_SERVICE,
    params: z.object({ tenant_id: tenantIdSchema, source: timelineIdSchema }),
    body: timelineCopySchema,
    handle: ({ params, body, signal }) =>
      safekeeper.copyTimeline(
        { tenant_id: params.tenant_id, timeline_id: params.source },
        body.target_timeline_id,
        body.until_lsn,
        signal,
      ),
  });
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/digest`,
    summary: 'SHA-256 of a range of the WAL',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    query: digestQuerySchema,
    answer: digestSchema,
    handle: ({ params, query, signal }) => safekeeper.digest(params, query, signal),
  });
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/term_bump`,
    summary: 'Raise the term, so that its proposer must be elected anew',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    body: termBumpSchema,
    isBodyOptional: true,
    answer: termBumpResultSchema,
    handle: ({ params, body }) => safekeeper.bumpTerm(params, body.term ?? undefined),
  });
  app.addJson({
    method: 'post',
    path: '/v1/record_safekeeper_info/{tenant_id}/{timeline_id}',
    summary: 'Take news of a peer, as the status stream would bring them; for tests',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    body: safekeeperTimelineInfoSchema,
    handle: ({ params, body }) => safekeeper.recordSafekeeperInfo(params, body),
  });
}

function addMembershipRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/membership`,
    summary: 'Switch to a newer configuration',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    body: membershipRequestSchema,
    answer: membershipSwitchResultSchema,
    handle: ({ params, body }) => safekeeper.setMembership(params, body.mconf),
  });
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/exclude`,
    summary: 'Remove the timeline from a safekeeper that is no member any more',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    body: membershipRequestSchema,
    answer: timelineDeleteResultSchema,
    handle: ({ params, body }) => safekeeper.excludeTimeline(params, body.mconf),
  });
}
