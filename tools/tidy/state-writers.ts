/** Services whose files are their state: what they lose in a crash, somebody's data depends on. */
export const STATE_KEEPERS = [
  'src/safekeeper',
  'src/pageserver',
  'src/proposer',
  'src/compute',
  'src/control',
];

/**
 * The files of these services that may call the files door's `create`, `rename` or `link` themselves, each with the
 * reason. State files are written by replaceFile (src/io/replace-file.ts) and by nothing else: it alone leaves the
 * old content or the new one, whole, whenever there is a crash. A file that does not call them any more must leave
 * this list.
 */
export const STATE_WRITERS: Readonly<Record<string, string>> = {
  'src/compute/free-space-maps.ts':
    'A free space map gets its place only where the server has made none itself; the directory outlives no crash.',
  'src/compute/lazy/find-shim.ts':
    'Sources are copied to where a compiler may read them, for as long as it runs.',
  'src/compute/lazy/lazy-directory.ts':
    'A control file gets a name that no server finds without the shim; the directory outlives no crash.',
  'src/pageserver/initial/write-initial-layers.ts':
    'A layer that all new timelines share is written from where it is kept, without a copy; it is synced under its temporary name before it gets its own.',
  'src/pageserver/layers/format/layer-writer.ts':
    'A layer is too large for one content in memory; it is synced under its temporary name before it gets its own.',
  'src/pageserver/layers/redo-failure-case.ts':
    'A case of failed replay is for whoever looks into it, and no state: nothing reads it again.',
  'src/pageserver/remote/deletion-store.ts':
    'A list that cannot be read gets a name under which it is never executed; its content stays.',
  'src/pageserver/remote/layer-transfer.ts':
    'A layer from the bucket is too large for one content in memory; it is synced under its temporary name before it gets its own.',
  'src/pageserver/tenant/detach-ancestor-copy.ts':
    'A layer is copied under its temporary name, too large for one content in memory, and synced before it gets its own.',
  'src/safekeeper/backup/restore.ts':
    'A segment that comes back from the bucket is too large for one content in memory; the control file says when it counts.',
  'src/safekeeper/timeline/timelines.ts':
    'A new timeline appears as a whole directory, made under another name.',
  'src/safekeeper/wal/cut-wal.ts':
    'A segment of WAL that is cut is partial again: a name for what is durable.',
  'src/safekeeper/wal/first-segment.ts':
    'A first segment is made page by page, too large for one content in memory.',
  'src/safekeeper/wal/wal-storage.ts':
    'A full segment of WAL gets its final name: its content is durable before.',
};
