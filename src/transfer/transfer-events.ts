/** Who is told how far a transfer is. */
export interface TransferEvents {
  /** What is being done now, such as `reading the schema`. */
  onStep(step: string): void;
  /** Of the rows, as the source estimates them: part of all, 0 to 1, and what has been copied. */
  onCopied(copied: Copied): void;
}

export interface Copied {
  readonly rows: number;
  readonly bytes: number;
  /** 0 to 1; undefined: nobody knows how much there is. */
  readonly part: number | undefined;
  /** That is being copied. */
  readonly table: string;
}

/** What a transfer has done. */
export interface TransferSummary {
  readonly tables: number;
  readonly rows: number;
  /** Of COPY's text. */
  readonly bytes: number;
  readonly notes: readonly string[];
}
