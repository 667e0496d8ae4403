/** What the process does that answers go through. */
export interface DelayCommands {
  /** Gives the port to connect to instead of the target's. */
  listen: {
    readonly argument: { readonly targetPort: number; readonly delayMs: number };
    readonly answer: number;
  };
}
