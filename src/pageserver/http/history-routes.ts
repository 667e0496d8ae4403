import {
  lsnByTimestampSchema,
  lsnLeaseRequestSchema,
  lsnLeaseSchema,
  lsnQuerySchema,
  shardTimelineSchema,
  timestampOfLsnSchema,
  timestampQuerySchema,
} from '../../contracts/pageserver-api-timeline.ts';
import type { HttpApp } from '../../http/app.ts';
import type { HistoryAdministration } from '../administration/administration.ts';
import { ofTimeline, TIMELINE_PATH } from './resources.ts';

/** Adds what has to do with LSNs of a timeline's history: finding them, and keeping them readable. */
export function addHistoryRoutes(app: HttpApp, history: HistoryAdministration): void {
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/get_lsn_by_timestamp`,
    summary: 'The last LSN at which no later commit had happened',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: timestampQuerySchema,
    answer: lsnByTimestampSchema,
    handle: ({ params, query, signal }) =>
      history.lsnByTimestamp(params, query.timestamp, query.with_lease === 'true', signal),
  });
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/get_timestamp_of_lsn`,
    summary: 'When the last commit at or below an LSN was',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: lsnQuerySchema,
    answer: timestampOfLsnSchema,
    handle: ({ params, query, signal }) => history.timestampOfLsn(params, query.lsn, signal),
  });
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/lsn_lease`,
    summary: 'Keep an LSN readable for a while; repeat it to go on',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    body: lsnLeaseRequestSchema,
    answer: lsnLeaseSchema,
    handle: ({ params, body }) => history.lease(params, body.lsn),
  });
  const { blockGc, unblockGc } = history;
  if (blockGc === undefined || unblockGc === undefined) return;
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/block_gc`,
    summary: 'Collect no garbage from now on, also after a restart; may be repeated',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    handle: ({ params }) => blockGc(params),
  });
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/unblock_gc`,
    summary: 'Collect garbage again; may be repeated',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    handle: ({ params }) => unblockGc(params),
  });
}
