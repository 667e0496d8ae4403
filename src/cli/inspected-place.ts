/** Options that say which timeline is to be looked at, and where it lies. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { VarveError } from '../base/errors.ts';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { type ObjectLocation, parseObjectLocation } from '../io/object-location.ts';
import type { InspectedPlace } from '../pageserver/main.ts';

export interface TimelineFlags {
  readonly tenant?: TenantId;
  readonly timeline?: TimelineId;
  readonly s3?: ObjectLocation;
}

export function addTimelineOptions(command: Command): Command {
  return command
    .option('--tenant <id>', 'of a timeline in a bucket or in a pageserver’s directory', (text) =>
      checked(() => parseTenantId(text)),
    )
    .option('--timeline <id>', 'likewise', (text) => checked(() => parseTimelineId(text)))
    .option(
      '--s3 <url>',
      'the bucket, whose index says which layers there are: s3://bucket/prefix?endpoint=…&region=… or file:///directory',
      (text) => checked(() => parseObjectLocation(text)),
    );
}

/** @param directory a pageserver's, or the timeline's own */
export function toPlace(
  directory: string | undefined,
  { tenant, timeline, s3 }: TimelineFlags,
): InspectedPlace {
  return {
    directory: directory === undefined ? undefined : resolve(directory),
    tenantId: tenant,
    timelineId: timeline,
    bucket: s3,
  };
}

/** @throws InvalidArgumentError for what `parse` refuses */
function checked<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (error instanceof VarveError) throw new InvalidArgumentError(error.reason);
    throw error;
  }
}
