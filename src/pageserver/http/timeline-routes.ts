import type { z } from 'zod';
import {
  archivalSchema,
  type DetachBehavior,
  detachQuerySchema,
  detachResultSchema,
  shardTimelineSchema,
  timelineCreateSchema,
  timelineInfoSchema,
  timelineListSchema,
  timelineQuerySchema,
  timelinesAndBrokenSchema,
} from '../../contracts/pageserver-api-timeline.ts';
import { shardParamsSchema } from '../../contracts/tenant-shard-id.ts';
import type { HttpApp } from '../../http/app.ts';
import type { TimelineAdministration, TimelineInfoOptions } from '../administration/administration.ts';
import { ofShard, ofTimeline, SHARD_PATH, TIMELINE_PATH } from './resources.ts';

type TimelineQuery = z.output<typeof timelineQuerySchema>;

const infoOptions = (query: TimelineQuery): TimelineInfoOptions => ({
  isSizeWanted:
    query['include-non-incremental-logical-size'] === 'true' ||
    query['force-await-initial-logical-size'] === 'true',
});

/** Adds the life of timelines. */
export function addTimelineRoutes(app: HttpApp, timelines: TimelineAdministration): void {
  addCreation(app, timelines);
  app.addJson({
    method: 'get',
    path: `${SHARD_PATH}/timeline`,
    summary: 'The timelines of a tenant that are served',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    query: timelineQuerySchema,
    answer: timelineListSchema,
    handle: async ({ params, query, signal }) =>
      (await timelines.list(params.tenant_shard_id, infoOptions(query), signal)).timelines,
  });
  app.addJson({
    method: 'get',
    path: `${SHARD_PATH}/timeline_and_offloaded`,
    summary: 'All timelines of a tenant, also those that cannot be served',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    query: timelineQuerySchema,
    answer: timelinesAndBrokenSchema,
    handle: ({ params, query, signal }) => timelines.list(params.tenant_shard_id, infoOptions(query), signal),
  });
  app.addJson({
    method: 'get',
    path: TIMELINE_PATH,
    summary: 'All that is known of a timeline',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: timelineQuerySchema,
    answer: timelineInfoSchema,
    handle: ({ params, query, signal }) => timelines.info(params, infoOptions(query), signal),
  });
  app.addJson({
    method: 'delete',
    path: TIMELINE_PATH,
    summary: 'Delete a timeline: repeat it until there is none',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    status: 202,
    handle: ({ params }) => timelines.delete(params),
  });
  addArchival(app, timelines);
  if (timelines.detachAncestor !== undefined) addDetaching(app, timelines.detachAncestor);
}

function addCreation(app: HttpApp, timelines: TimelineAdministration): void {
  app.addJson({
    method: 'post',
    path: `${SHARD_PATH}/timeline`,
    summary: 'Begin a timeline, of another one or of a new cluster; may be repeated',
    access: ({ params }) => ofShard(params),
    params: shardParamsSchema,
    body: timelineCreateSchema,
    answer: timelineInfoSchema,
    status: 201,
    handle: ({ params, body, signal }) =>
      'ancestor_timeline_id' in body
        ? timelines.branch(params.tenant_shard_id, body, signal)
        : timelines.bootstrap(params.tenant_shard_id, body, signal),
  });
}

function addArchival(app: HttpApp, timelines: TimelineAdministration): void {
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/archival_config`,
    summary: 'Archive a timeline, or take it back into use; may be repeated',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    body: archivalSchema,
    handle: ({ params, body }) => timelines.setArchival(params, body.state),
  });
}

/** Neon's clients may say it by the number of the behavior. */
const BEHAVIORS: Readonly<Record<string, DetachBehavior>> = {
  v1: 'no_ancestor_and_reparent',
  v2: 'multi_level_and_no_reparent',
};

function addDetaching(app: HttpApp, detach: NonNullable<TimelineAdministration['detachAncestor']>): void {
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/detach_ancestor`,
    summary: 'Make a timeline independent of its ancestor; may be repeated',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: detachQuerySchema,
    answer: detachResultSchema,
    handle: ({ params, query: { detach_behavior: behavior } }) =>
      detach(
        params,
        behavior === 'v1' || behavior === 'v2' ? (BEHAVIORS[behavior] as DetachBehavior) : behavior,
      ),
  });
}
