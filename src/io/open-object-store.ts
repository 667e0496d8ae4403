import type { Clock } from './clock.ts';
import { type DirectoryDoors, DirectoryObjects } from './directory-objects.ts';
import type { ObjectLocation, S3Location } from './object-location.ts';
import type { ObjectStore } from './objects.ts';
import type { Random } from './random.ts';

export interface ObjectStoreDoors extends DirectoryDoors {
  /** The real side of S3: `openS3Objects` of src/io/s3/open.ts, which loads the SDK only when it is called. */
  readonly openS3: (location: S3Location, doors: S3Doors) => Promise<ObjectStore>;
}

export interface S3Doors {
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Opens the store at a location. A main.ts hands in the doors:
 * `openObjectStore(parseObjectLocation(text), { files: nodeFiles, clock: nodeClock, random: nodeRandom, openS3: openS3Objects })`
 */
export async function openObjectStore(
  location: ObjectLocation,
  doors: ObjectStoreDoors,
): Promise<ObjectStore> {
  if (location.kind === 's3') return await doors.openS3(location, doors);
  return await DirectoryObjects.open(doors, location.path);
}
