import { CorruptionError } from '../base/errors.ts';
import { isNewPage, Page } from '../postgres/page/page.ts';
import { RedoFailure } from '../redo/redo-failure.ts';
import type { MaskFunction } from '../redo/redo-types.ts';

/**
 * A copy of a page under a mask. A page that has never been written stays as it is.
 * @throws CorruptionError where the page is too damaged for the mask.
 */
export function maskPage(page: Page, block: number, mask: MaskFunction): Page {
  const masked = new Page(page.bytes.slice());
  if (isNewPage(masked)) return masked;
  try {
    mask(masked, block);
  } catch (error) {
    if (!(error instanceof RedoFailure) && !(error instanceof RangeError)) throw error;
    throw new CorruptionError(
      'BAD_PAGE',
      `the page cannot be masked: ${error.message}`,
      { page: `block ${block}` },
      error,
    );
  }
  return masked;
}
