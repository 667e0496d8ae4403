import {
  importBackupQuerySchema,
  importWalQuerySchema,
  wholeTimelineSchema,
} from '../../contracts/pageserver-api-timeline.ts';
import type { HttpApp } from '../../http/app.ts';
import type { TimelineAdministration } from '../administration/administration.ts';

const TENANT_TIMELINE_PATH = '/v1/tenant/{tenant_id}/timeline/{timeline_id}';
const TAR = 'application/x-tar';
/** A cluster of any size that makes sense. The handler takes it in piece by piece. */
const UPLOAD_BYTES_MAX = 64 * 1024 ** 4;

/** Adds the making of timelines from what other servers have written. They take a tenant's id, since they need all of it. */
export function addImportRoutes(app: HttpApp, { importBaseBackup, importWal }: TimelineAdministration): void {
  if (importBaseBackup !== undefined) {
    app.addUpload({
      method: 'put',
      path: `${TENANT_TIMELINE_PATH}/import_basebackup`,
      summary: 'Begin a timeline from a base backup',
      access: ({ params }) => ({ tenantId: params.tenant_id, timelineId: params.timeline_id }),
      params: wholeTimelineSchema,
      query: importBackupQuerySchema,
      uploadType: TAR,
      uploadBytesMax: UPLOAD_BYTES_MAX,
      handle: ({ params, query, body, signal }) => importBaseBackup(params, query, body, signal),
    });
  }
  if (importWal !== undefined) {
    app.addUpload({
      method: 'put',
      path: `${TENANT_TIMELINE_PATH}/import_wal`,
      summary: 'Take in WAL from segments',
      access: ({ params }) => ({ tenantId: params.tenant_id, timelineId: params.timeline_id }),
      params: wholeTimelineSchema,
      query: importWalQuerySchema,
      uploadType: TAR,
      uploadBytesMax: UPLOAD_BYTES_MAX,
      handle: ({ params, query, body, signal }) => importWal(params, query, body, signal),
    });
  }
}
