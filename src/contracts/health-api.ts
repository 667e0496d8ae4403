import { z } from 'zod';

export const readinessSchema = z
  .object({
    is_ready: z.boolean(),
    missing: z.array(z.object({ part: z.string(), reason: z.string() })).describe('What has to happen first'),
  })
  .meta({ id: 'Readiness' });
/** Whether a service can do what it is for. */
export type Readiness = z.output<typeof readinessSchema>;

export const livenessSchema = z.object({ is_alive: z.literal(true) }).meta({ id: 'Liveness' });
