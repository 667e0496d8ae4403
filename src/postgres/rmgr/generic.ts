/** Generic records, the ones of index access methods that come as extensions (access/transam/generic_xlog.c). */
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { BLOCK_BYTES, RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_GENERIC, refuseBody } from './resource-manager.ts';

/** GenericXLogFinish writes no other info; generic_redo does not look at it. */
export const XLOG_GENERIC = 0x00;

/** MAX_GENERIC_XLOG_PAGES: as many block references, of one kind, as a record may have. */
export const GENERIC_PAGES_MAX = 4;

/** A page's delta, the data of its block, is a row of fragments: place on the page, length, and so many bytes. */
export const GENERIC_FRAGMENT_OFFSET = 0;
export const GENERIC_FRAGMENT_LENGTH = 2;
/** FRAGMENT_HEADER_SIZE. */
export const GENERIC_FRAGMENT_HEADER_BYTES = 4;

export interface GenericFragment {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface GenericPage {
  readonly blockId: number;
  /** None where nothing changed, or the block has a full-page image. */
  readonly fragments: readonly GenericFragment[];
}

export interface GenericBody {
  readonly kind: 'Generic';
  readonly pages: readonly GenericPage[];
}

const kinds: ReadonlyMap<number, GenericBody['kind']> = new Map([[XLOG_GENERIC, 'Generic']]);

function readPage(record: DecodedRecord, blockId: number): GenericPage {
  const reader = BodyReader.blockData(record, blockId);
  const fragments: GenericFragment[] = [];
  while (reader.remaining > 0) {
    const offset = reader.u16();
    const length = reader.u16();
    if (offset + length > BLOCK_BYTES)
      refuseBody('Generic', record, `a fragment of ${length} bytes at ${offset} of a page`);
    fragments.push({ offset, bytes: reader.bytes(length) });
  }
  return { blockId, fragments };
}

/** Generic (genericdesc.c, generic_identify). */
export const genericResourceManager: ResourceManager<GenericBody> = {
  id: RM_GENERIC,
  name: 'Generic',
  kinds: [...kinds.values()],
  kindName: (info) => findKindName(kinds, info),
  decodeBody(record) {
    if ((record.info & ~RECORD_INFO_MASK) !== XLOG_GENERIC) return refuseKind('Generic', record);
    BodyReader.mainData(record).expectEnd();
    if (record.blockCount > GENERIC_PAGES_MAX)
      refuseBody('Generic', record, `block references up to ${record.blockCount - 1}`);
    const pages: GenericPage[] = [];
    for (let blockId = 0; blockId < record.blockCount; blockId++) {
      if (record.hasBlock(blockId)) pages.push(readPage(record, blockId));
    }
    return { kind: 'Generic', pages };
  },
};
