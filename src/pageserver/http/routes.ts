import { pageserverStatusSchema, utilizationSchema } from '../../contracts/pageserver-api.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import { addHealthRoutes } from '../../http/health-routes.ts';
import type { PageserverAdministration } from '../administration/administration.ts';
import { addConfigRoutes } from './config-routes.ts';
import { addHistoryRoutes } from './history-routes.ts';
import { addImportRoutes } from './import-routes.ts';
import { addLayerRoutes } from './layer-routes.ts';
import { addTenantRoutes } from './tenant-routes.ts';
import { addTimelineRoutes } from './timeline-routes.ts';

/** Adds the pageserver's API: docs/pageserver-http.md. */
export function addPageserverRoutes(app: HttpApp, pageserver: PageserverAdministration): void {
  const { service } = pageserver;
  addHealthRoutes(app, () => service.readiness());
  app.addJson({
    method: 'get',
    path: '/v1/status',
    summary: 'Whether it answers, and its id',
    access: 'open',
    answer: pageserverStatusSchema,
    handle: async () => service.status(),
  });
  app.addJson({
    method: 'get',
    path: '/v1/utilization',
    summary: 'How much it has to do, and how full its disk is',
    access: () => WHOLE_SERVICE,
    answer: utilizationSchema,
    handle: () => service.utilization(),
  });
  addTenantRoutes(app, pageserver.tenants);
  addConfigRoutes(app, pageserver.tenants);
  addTimelineRoutes(app, pageserver.timelines);
  addImportRoutes(app, pageserver.timelines);
  addHistoryRoutes(app, pageserver.history);
  addLayerRoutes(app, pageserver.layers);
}
