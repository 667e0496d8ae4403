/** What a page goes through on its way, without the page: who answers, who hands on, and who asks. */
export interface HopCommands {
  /** Answers each request with as many bytes as a page has. Gives the port. */
  answer: { readonly argument: undefined; readonly answer: number };
  /** Hands requests on to that port, and answers back. Gives its own port. */
  relay: { readonly argument: number; readonly answer: number };
  /** One request after the other to that port. Gives how long each took, in microseconds. */
  ask: { readonly argument: { readonly port: number; readonly count: number }; readonly answer: number[] };
}

export const HOP_REQUEST_BYTES = 32;
export const HOP_ANSWER_BYTES = 8192;
