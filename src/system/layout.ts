/** In the directory's name there must be room for a compute's socket: `/ep-…/socket` (server-settings.ts). */
export const COMPUTES_PATH_BYTES_MAX: number = 85 - '/ep-0123456789abcdef/socket'.length;

/** Names of what lies in the directory of a system. */
export interface SystemLayout {
  readonly directory: string;
  readonly keys: string;
  readonly logs: string;
  /** Of the embedded database of the control plane. */
  readonly control: string;
  readonly pageserver: string;
  /** The object store, where it is no other one. */
  readonly bucket: string;
  /** Where computes have their files, if servers can get there. */
  readonly computes: string;
  safekeeper(id: number): string;
}

export const layoutOf = (directory: string): SystemLayout => ({
  directory,
  keys: `${directory}/keys`,
  logs: `${directory}/logs`,
  control: `${directory}/control`,
  pageserver: `${directory}/pageserver`,
  bucket: `${directory}/bucket`,
  computes: `${directory}/computes`,
  safekeeper: (id) => `${directory}/safekeeper-${id}`,
});
