import {
  auxiliaryFilesRequestSchema,
  auxiliaryFilesSchema,
  checkpointQuerySchema,
  compactQuerySchema,
  gcRequestSchema,
  gcResultSchema,
  keyspaceQuerySchema,
  keyspaceSchema,
  layerFetchSchema,
  layerMapSchema,
  layerParamsSchema,
  pageQuerySchema,
  pageValueSchema,
} from '../../contracts/pageserver-api-layers.ts';
import { shardTimelineSchema } from '../../contracts/pageserver-api-timeline.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { LayerAdministration } from '../administration/administration.ts';
import { ofTimeline, TIMELINE_PATH } from './resources.ts';

/** Adds what is for looking into a timeline's storage, and tidying it up by hand. */
export function addLayerRoutes(app: HttpApp, layers: LayerAdministration): void {
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/layer`,
    summary: 'The layers that a timeline is stored in',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    answer: layerMapSchema,
    handle: ({ params }) => layers.map(params),
  });
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/layer/{layer}`,
    summary: "Bring a layer's file from the bucket",
    access: ({ params }) => ofTimeline(params),
    params: layerParamsSchema,
    answer: layerFetchSchema,
    status: { all: [200, 304], of: (wasMissing) => (wasMissing ? 200 : 304) },
    handle: ({ params: { layer, ...key }, signal }) => layers.fetch(key, layer, signal),
  });
  addUpkeep(app, layers);
  addValues(app, layers);
}

function addUpkeep(app: HttpApp, layers: LayerAdministration): void {
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/do_gc`,
    summary: 'Remove what nobody may read any more',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    body: gcRequestSchema,
    isBodyOptional: true,
    answer: gcResultSchema,
    handle: ({ params, body }) => layers.collectGarbage(params, body.gc_horizon ?? undefined),
  });
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/compact`,
    summary: 'Merge layers and make image layers, as far as there is something to do',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: compactQuerySchema,
    handle: ({ params, query }) =>
      layers.compact(params, {
        rewritesBottom: query.enhanced_gc_bottom_most_compaction === 'true',
        waitsForUpload: query.wait_until_uploaded === 'true',
      }),
  });
  app.addJson({
    method: 'put',
    path: `${TIMELINE_PATH}/checkpoint`,
    summary: 'Write what is in memory to a layer file',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: checkpointQuerySchema,
    handle: ({ params, query }) =>
      layers.checkpoint(params, {
        compacts: query.compact !== 'false',
        waitsForFlush: query.wait_until_flushed !== 'false',
        waitsForUpload: query.wait_until_uploaded === 'true',
      }),
  });
}

function addValues(app: HttpApp, layers: LayerAdministration): void {
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/keyspace`,
    summary: 'Ranges of the keys that exist at an LSN',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: keyspaceQuerySchema,
    answer: keyspaceSchema,
    handle: ({ params, query, signal }) => layers.keyspace(params, query.at_lsn, signal),
  });
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/getpage`,
    summary: 'What is stored under a key at an LSN',
    access: () => WHOLE_SERVICE,
    params: shardTimelineSchema,
    query: pageQuerySchema,
    answer: pageValueSchema,
    handle: ({ params, query, signal }) => layers.value(params, query.key, query.lsn, signal),
  });
  app.addJson({
    method: 'get',
    path: `${TIMELINE_PATH}/touchpage`,
    summary: 'Read what is stored under a key at an LSN, and say only that it can be read',
    access: ({ params }) => ofTimeline(params),
    params: shardTimelineSchema,
    query: pageQuerySchema,
    handle: async ({ params, query, signal }) => {
      await layers.value(params, query.key, query.lsn, signal);
    },
  });
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/list_aux_files`,
    summary: 'What computes keep beside WAL, as of an LSN',
    access: () => WHOLE_SERVICE,
    params: shardTimelineSchema,
    body: auxiliaryFilesRequestSchema,
    answer: auxiliaryFilesSchema,
    handle: ({ params, body, signal }) => layers.auxiliaryFiles(params, body.lsn, signal),
  });
}
