import * as layout from '../../postgres/page/gist-page.ts';
import type { Page } from '../../postgres/page/page.ts';
import { describeInnerTuple, describeLeafTuple } from './index-tuple.ts';
import { describeItems, flagNames, type PageContent } from './page-content.ts';

const FLAGS = {
  LEAF: layout.GIST_LEAF,
  DELETED: layout.GIST_DELETED,
  TUPLES_DELETED: layout.GIST_TUPLES_DELETED,
  FOLLOW_RIGHT: layout.GIST_FOLLOW_RIGHT,
  HAS_GARBAGE: layout.GIST_HAS_GARBAGE,
};

export function describeGistPage(page: Page): PageContent {
  const { view } = page;
  const flags = view.getUint16(layout.GIST_FLAGS, true);
  const nsn =
    view.getUint32(layout.GIST_NSN_HIGH, true) * 0x1_0000_0000 + view.getUint32(layout.GIST_NSN_LOW, true);
  const special = {
    nsn,
    rightLink: view.getUint32(layout.GIST_RIGHT_LINK, true),
    flags: flagNames(flags, FLAGS),
  };
  if ((flags & layout.GIST_DELETED) !== 0) {
    return { special, contents: { deleteXid: view.getBigUint64(layout.GIST_DELETE_XID, true) } };
  }
  const isLeaf = (flags & layout.GIST_LEAF) !== 0;
  return { special, items: describeItems(page, isLeaf ? describeLeafTuple : describeInnerTuple) };
}
