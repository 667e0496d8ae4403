import { BadRequestError } from '../../base/errors.ts';
import { partialResetResultSchema, timelineKeySchema } from '../../contracts/safekeeper-api.ts';
import {
  type ControlFileUpdates,
  controlFilePatchResultSchema,
  controlFilePatchSchema,
  debugDumpQuerySchema,
  debugDumpSchema,
} from '../../contracts/safekeeper-api-debug.ts';
import { WHOLE_SERVICE } from '../../contracts/token.ts';
import type { HttpApp } from '../../http/app.ts';
import type { SafekeeperAdministration } from './administration.ts';
import { TIMELINE_PATH } from './resources.ts';

/** Adds what is for looking inside and for repairing by hand. */
export function addDebugRoutes(app: HttpApp, safekeeper: SafekeeperAdministration): void {
  app.addJson({
    method: 'patch',
    path: `${TIMELINE_PATH}/control_file`,
    summary: 'Change positions in the control file by hand',
    access: () => WHOLE_SERVICE,
    params: timelineKeySchema,
    body: controlFilePatchSchema,
    answer: controlFilePatchResultSchema,
    handle: ({ params, body }) =>
      safekeeper.patchControlFile(params, pickUpdates(body.updates, body.apply_fields)),
  });
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/checkpoint`,
    summary: 'Write the control file now',
    access: () => WHOLE_SERVICE,
    params: timelineKeySchema,
    handle: ({ params }) => safekeeper.checkpoint(params),
  });
  app.addJson({
    method: 'post',
    path: `${TIMELINE_PATH}/backup_partial_reset`,
    summary: 'Forget the partial segments in the bucket',
    access: () => WHOLE_SERVICE,
    params: timelineKeySchema,
    answer: partialResetResultSchema,
    handle: ({ params }) => safekeeper.resetPartialBackup(params),
  });
  app.addJson({
    method: 'get',
    path: '/v1/debug_dump',
    summary: 'All that is known and held, for finding faults',
    access: () => WHOLE_SERVICE,
    query: debugDumpQuerySchema,
    answer: debugDumpSchema,
    handle: ({ query }) => {
      const all = query.dump_all ?? 'false';
      return safekeeper.debugDump({
        controlFile: (query.dump_control_file ?? all) === 'true',
        memory: (query.dump_memory ?? all) === 'true',
        diskContent: (query.dump_disk_content ?? all) === 'true',
        termHistory: (query.dump_term_history ?? 'true') === 'true',
        walLastModified: (query.dump_wal_last_modified ?? all) === 'true',
        tenantId: query.tenant_id,
        timelineId: query.timeline_id,
      });
    },
  });
}

/** @throws BadRequestError MISSING_UPDATE where a field is to be applied that has no update. */
function pickUpdates(
  updates: ControlFileUpdates,
  fields: readonly (keyof ControlFileUpdates)[],
): ControlFileUpdates {
  const missing = fields.find((field) => updates[field] === undefined);
  if (missing !== undefined) {
    throw new BadRequestError('MISSING_UPDATE', `${missing} is to be applied, and has no update`);
  }
  return Object.fromEntries(fields.map((field) => [field, updates[field]]));
}
