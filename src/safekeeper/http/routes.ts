import { z } from 'zod';
import { wholeNumberSchema } from '../../contracts/api-values.ts';
import {
  deleteQuerySchema,
  filesystemUsageSchema,
  pullTimelineResultSchema,
  pullTimelineSchema,
  SEGMENT_BYTES_DEFAULT,
  safekeeperStatusSchema,
  tenantDeleteResultSchema,
  tenantKeySchema,
  timelineCreateSchema,
  timelineDeleteResultSchema,
  timelineKeySchema,
  timelineListSchema,
  timelineStatusSchema,
  utilizationSchema,
} from '../../contracts/safekeeper-api.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { SafekeeperAdministration } from './administration.ts';
import { addDebugRoutes } from './debug-routes.ts';
import { ofTenant, ofTimeline, TIMELINE_PATH } from './resources.ts';
import { addTimelineRoutes } from './timeline-routes.ts';

/** Adds the safekeeper's API: docs/safekeeper-http.md. */
export function addSafekeeperRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  addServiceRoutes(app, safekeeper);
  addLifeRoutes(app, safekeeper);
  addCopyRoutes(app, safekeeper);
  addTimelineRoutes(app, safekeeper);
  addDebugRoutes(app, safekeeper);
}

function addServiceRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  app.addJson({
    method: 'get',
    path: '/v1/status',
    summary: 'Whether it answers, and its id',
    access: 'open',
    answer: safekeeperStatusSchema,
    handle: async () => safekeeper.status(),
  });
  app.addJson({
    method: 'get',
    path: '/v1/utilization',
    summary: 'How much it has to do',
    access: () => WHOLE_SERVICE,
    answer: utilizationSchema,
    handle: () => safekeeper.utilization(),
  });
  app.addJson({
    method: 'get',
    path: '/v1/debug/filesystem_usage',
    summary: 'How full its disk is',
    access: () => WHOLE_SERVICE,
    answer: filesystemUsageSchema,
    handle: () => safekeeper.filesystemUsage(),
  });
}

function addLifeRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  app.addJson({
    method: 'post',
    path: '/v1/tenant/timeline',
    summary: 'Create a timeline; does nothing where it exists',
    access: ({ body }) => ofTimeline(body),
    body: timelineCreateSchema,
    handle: ({ body }) =>
      safekeeper.createTimeline({
        ...body,
        system_id: body.system_id ?? 0n,
        wal_seg_size: body.wal_seg_size ?? SEGMENT_BYTES_DEFAULT,
        commit_lsn: body.commit_lsn ?? body.start_lsn,
      }),
  });
  app.addJson({
    method: 'get',
    path: '/v1/tenant/timeline',
    summary: 'All timelines that are not deleted',
    access: () => WHOLE_SERVICE,
    answer: timelineListSchema,
    handle: () => safekeeper.listTimelines(),
  });
  app.addJson({
    method: 'delete',
    path: '/v1/tenant/{tenant_id}',
    summary: 'Delete all timelines of a tenant',
    access: ({ params }) => ofTenant(params),
    params: tenantKeySchema,
    query: deleteQuerySchema,
    answer: tenantDeleteResultSchema,
    handle: ({ params, query }) =>
      safekeeper.deleteTenant(params.tenant_id, { isLocalOnly: query.only_local === 'true' }),
  });
  app.addJson({
    method: 'get',
    path: TIMELINE_PATH,
    summary: 'All that is known of a timeline',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    answer: timelineStatusSchema,
    handle: ({ params }) => safekeeper.timelineStatus(params),
  });
  app.addJson({
    method: 'delete',
    path: TIMELINE_PATH,
    summary: 'Delete a timeline; may be repeated',
    access: ({ params }) => ofTimeline(params),
    params: timelineKeySchema,
    query: deleteQuerySchema,
    answer: timelineDeleteResultSchema,
    handle: ({ params, query }) =>
      safekeeper.deleteTimeline(params, { isLocalOnly: query.only_local === 'true' }),
  });
}

function addCopyRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  app.addJson({
    method: 'post',
    path: '/v1/pull_timeline',
    summary: 'Copy a timeline from the best of its other safekeepers',
    access: () => WHOLE_SERVICE,
    body: pullTimelineSchema,
    answer: pullTimelineResultSchema,
    handle: ({ body, signal }) => safekeeper.pullTimeline(body, signal),
  });
  app.addRaw({
    method: 'get',
    path: `${TIMELINE_PATH}/snapshot/{destination_id}`,
    summary: 'Control file and WAL as a tar stream',
    access: () => WHOLE_SERVICE,
    params: timelineKeySchema.extend({
      destination_id: z.codec(z.string().regex(/^\d{1,15}$/), wholeNumberSchema, {
        decode: Number,
        encode: String,
      }),
    }),
    contentType: 'application/x-tar',
    handle: async ({ params, signal }) => {
      const { tenant_id, timeline_id, destination_id } = params;
      const body = await safekeeper.snapshot({ tenant_id, timeline_id }, destination_id, signal);
      return { contentType: 'application/x-tar', body };
    },
  });
}
