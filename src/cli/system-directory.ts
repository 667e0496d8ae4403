import { resolve } from 'node:path';

/** Where a system is, unless somebody says otherwise. */
export const DIRECTORY_DEFAULT = '.varve';

/** Absolute, whatever directory a later command is given in. */
export const resolveDirectory = (given: string): string => resolve(given);
