/** Bytes of a file from `offset` on. */
export interface FilePiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A file of a data directory: what lies between its pieces, and behind them, is zero. */
export interface ClusterFile {
  /** Relative to the data directory. */
  readonly path: string;
  readonly sizeBytes: number;
  /** In order of their offsets; they do not overlap. */
  readonly pieces: readonly FilePiece[];
}

export function wholeFile(path: string, bytes: Uint8Array): ClusterFile {
  const pieces = bytes.length === 0 ? [] : [{ offset: 0, bytes }];
  return { path, sizeBytes: bytes.length, pieces };
}
