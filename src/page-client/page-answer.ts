import { AssertionError } from '../base/errors.ts';
import * as messages from '../contracts/page-messages.ts';

/** An answer that is no page. */
export type PageAnswer =
  | { readonly kind: 'exists'; readonly exists: boolean }
  | { readonly kind: 'block-count'; readonly blocks: number }
  | { readonly kind: 'database-size'; readonly sizeBytes: number }
  /** Pages one after another; a copy. */
  | { readonly kind: 'slru-segment'; readonly pages: Uint8Array };

/** Reads a response that has been checked and is neither a page nor an error. */
export function readAnswer(
  version: messages.PageProtocolVersion,
  tag: number,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  length: number,
): PageAnswer {
  const payload = offset + messages.payloadOffset(version, messages.requestTagOf(tag));
  switch (tag) {
    case messages.RESPONSE_EXISTS:
      return { kind: 'exists', exists: view.getUint8(payload) !== 0 };
    case messages.RESPONSE_NBLOCKS:
      return { kind: 'block-count', blocks: view.getUint32(payload) };
    case messages.RESPONSE_DATABASE_SIZE:
      return { kind: 'database-size', sizeBytes: messages.readDatabaseSize(version, view, offset) };
    case messages.RESPONSE_SLRU_SEGMENT:
      return { kind: 'slru-segment', pages: bytes.slice(payload + 4, offset + length) };
  }
  throw new AssertionError(`a response ${tag} was taken for one without a page`);
}
