import type { S3Location } from '../object-location.ts';
import type { ObjectStore } from '../objects.ts';
import type { S3Options } from './options.ts';

/**
 * Opens a store in a bucket. The SDK is loaded only now: a program that keeps its objects in a directory never needs
 * its megabytes.
 */
export async function openS3Objects(location: S3Location, options: S3Options): Promise<ObjectStore> {
  const { S3Objects } = await import('./s3-objects.ts');
  return new S3Objects(location, options);
}
