import { livenessSchema, type Readiness, readinessSchema } from '../contracts/health-api.ts';
import type { HttpApp } from './app.ts';

/** Adds what an orchestrator asks: whether the process is to be restarted, and whether it is to be sent requests. */
export function addHealthRoutes(app: HttpApp, readiness: () => Readiness): void {
  app.addJson({
    method: 'get',
    path: '/live',
    summary: 'Whether the process answers at all',
    access: 'open',
    answer: livenessSchema,
    handle: async () => ({ is_alive: true as const }),
  });
  app.addJson({
    method: 'get',
    path: '/ready',
    summary: 'Whether all that was attached can be served, and what is missing',
    access: 'open',
    answer: readinessSchema,
    status: { all: [200, 503], of: ({ is_ready }) => (is_ready ? 200 : 503) },
    handle: async () => readiness(),
  });
}
