import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../../src/base/ids.ts';
import type { SafekeeperAddress } from '../../../src/contracts/membership.ts';
import { TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';

export const TENANT: TenantId = parseTenantId('1'.repeat(32));
export const TIMELINE: TimelineId = parseTimelineId('2'.repeat(32));
export const SERVER = {
  pgVersion: 170_011,
  systemIdentifier: TEST_SYSTEM,
  segmentBytes: TEST_SEGMENT_BYTES,
} as const;
export const SAFEKEEPER_PORT = 5454;
export const DATA_DIRECTORY = '/data';
export const TIMELINE_DIRECTORY: string = `${DATA_DIRECTORY}/${TENANT}/${TIMELINE}`;

export const addressOf = (id: number): SafekeeperAddress => ({
  id,
  host: `sk${id}`,
  pgPort: SAFEKEEPER_PORT,
});
