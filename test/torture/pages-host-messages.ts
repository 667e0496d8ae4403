/** What the process of the page service can be asked for (CommandTable). */
export interface PagesHostCommands {
  open: { argument: undefined; answer: { readonly port: number } };
  /** A timeline of the model's cluster. */
  create: { argument: TimelinePlace; answer: undefined };
  branch: {
    argument: TimelinePlace & { readonly parentId: string; readonly lsn: number };
    answer: undefined;
  };
  /** Gives where the timeline's WAL ends afterwards. */
  feed: { argument: TimelinePlace & { readonly wal: Uint8Array }; answer: number };
  /** Where WAL is to go on. */
  position: { argument: TimelinePlace; answer: number };
  /** How long it took, in milliseconds in which the machine had a processor for it. */
  remove: { argument: TimelinePlace; answer: number };
  detach: { argument: { readonly tenantId: string }; answer: number };
  /** The branch and all that it descends from become independent; the tenant is loaded anew. */
  detachAncestor: { argument: TimelinePlace; answer: undefined };
  attach: { argument: { readonly tenantId: string }; answer: undefined };
  usage: { argument: undefined; answer: PagesHostUsage };
}

export interface TimelinePlace {
  readonly tenantId: string;
  readonly timelineId: string;
}

/** After a garbage collection. */
export interface PagesHostUsage {
  readonly rssBytes: number;
  /** JavaScript's heap and the buffers beside it. */
  readonly heldBytes: number;
  readonly connections: number;
}
