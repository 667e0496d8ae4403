import { z } from 'zod';
import { WHOLE_SERVICE } from '../contracts/token.ts';
import type { Profiler } from '../io/profiler.ts';
import type { HttpApp } from './app.ts';

const SECONDS_DEFAULT = 5;
const SECONDS_MAX = 60;

const profileQuerySchema = z.object({
  seconds: z
    .codec(z.string().regex(/^\d{1,3}$/), z.int().min(1).max(SECONDS_MAX), { decode: Number, encode: String })
    .meta({ type: 'integer', minimum: 1, maximum: SECONDS_MAX })
    .optional(),
});

/** Adds profiles of the process, in V8's own formats, which browsers' developer tools open. */
export function addProfileRoutes(app: HttpApp, profiler: Profiler): void {
  for (const kind of ['cpu', 'heap'] as const) {
    app.addRaw({
      method: 'get',
      path: `/profile/${kind}`,
      summary: kind === 'cpu' ? 'Where time is spent, from now on' : 'Who allocates what stays, from now on',
      access: () => WHOLE_SERVICE,
      query: profileQuerySchema,
      contentType: 'application/json',
      handle: async ({ query, signal }) => ({
        contentType: 'application/json',
        body: await profiler[kind]((query.seconds ?? SECONDS_DEFAULT) * 1000, signal),
      }),
    });
  }
}
