import { expect, test } from 'vitest';
import { buildRecord } from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import { Page } from '../postgres/page/page.ts';
import { isKnownRecord } from '../postgres/rmgr/known-records.ts';
import {
  RM_BRIN,
  RM_BTREE,
  RM_GENERIC,
  RM_GIN,
  RM_GIST,
  RM_HASH,
  RM_HEAP,
  RM_HEAP2,
  RM_SEQUENCE,
  RM_SPGIST,
} from '../postgres/rmgr/resource-manager.ts';
import { effectsOf } from './effects/effects-of.ts';
import { redo } from './redo.ts';

/** Whether this raises an UnknownRecordError; that the record's data make no sense is another matter. */
function isRefusedAsUnknown(action: () => unknown): boolean {
  try {
    action();
  } catch (error) {
    return error instanceof UnknownRecordError;
  }
  return false;
}

/** All that they do, they do to pages. */
const PAGE_MANAGERS = [
  ...[RM_HEAP2, RM_HEAP, RM_BTREE, RM_HASH, RM_GIN],
  ...[RM_GIST, RM_SEQUENCE, RM_SPGIST, RM_BRIN, RM_GENERIC],
];

test('a record is known if and only if neither redo nor its effects refuse it as unknown', () => {
  for (let resourceManager = 0; resourceManager < 256; resourceManager++) {
    for (let info = 0; info < 256; info++) {
      const blocks = [{ willInitialize: true }];
      const record = buildRecord({ resourceManager, info, mainData: new Uint8Array(8), blocks });
      const replay = (): unknown =>
        redo(new Page(new Uint8Array(8192)), record, 0, { hintBitsAreLogged: false });
      const isRefused =
        isRefusedAsUnknown(() => effectsOf(record)) ||
        (PAGE_MANAGERS.includes(resourceManager) && isRefusedAsUnknown(replay));
      expect(isKnownRecord(resourceManager, info), `${resourceManager}/${info}`).toBe(!isRefused);
    }
  }
});
