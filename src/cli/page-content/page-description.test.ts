import { expect, test } from 'vitest';
import { pageSamplesPath, readPageSamples } from '../../../test/golden/page-samples.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { PAGE_LOWER, PAGE_SPECIAL, Page } from '../../postgres/page/page.ts';
import { fieldsText, toJsonValue } from '../plain-value.ts';
import { describePage } from './page-description.ts';

const samples = readPageSamples(pageSamplesPath(17));

test.each(samples)(
  'block $block of $relation is recognised, and nothing on it is a problem',
  ({ relation, block, page }) => {
    const { kind, header, content } = describePage(page, 0, block);
    const expected = relation.split('_')[0] as string;
    expect([expected, 'new']).toContain(kind);
    expect(header['problem']).toBeUndefined();
    expect(content.problem).toBeUndefined();
    for (const item of content.items ?? []) expect(item.problem).toBeUndefined();
  },
);

test('a damaged page is described as far as it goes, in bounded time and space', () => {
  const random = new SeededRandom(17);
  for (let round = 0; round < 3000; round++) {
    const sample = samples[random.below(samples.length)] as (typeof samples)[number];
    const page = new Page(sample.page.bytes.slice());
    for (let count = random.below(30) + 1; count > 0; count--) {
      // Mostly where the structure is.
      const at =
        random.below(3) === 0
          ? random.below(8192)
          : [random.below(200), 8192 - 1 - random.below(40)][count % 2];
      page.bytes[at as number] = random.below(256);
    }
    const description = describePage(page, random.below(8) === 0 ? random.below(4) : 0, sample.block);
    const json = JSON.stringify(toJsonValue(description));
    expect(json.length).toBeLessThan(2_000_000);
    expect(fieldsText(description).length).toBeLessThan(2_000_000);
  }
});

test('items that share the same bytes are not described again and again', () => {
  const page = new Page(
    (samples.find(({ relation }) => relation === 'heap_page') as { page: Page }).page.bytes.slice(),
  );
  page.view.setUint16(PAGE_LOWER, 8192, true);
  for (let offset = 24; offset < 8000; offset += 4)
    page.view.setUint32(offset, (8000 << 17) | (1 << 15) | 100, true);
  const { content } = describePage(page, 0, 0);
  const problems = content.items?.filter(
    ({ problem }) => problem === 'the items before it already fill the page',
  );
  expect(problems?.length).toBeGreaterThan(1900);
});

test('a special space of no known kind is a problem, and the items are shown all the same', () => {
  const page = new Page(
    (samples.find(({ relation }) => relation === 'heap_page') as { page: Page }).page.bytes.slice(),
  );
  page.view.setUint16(PAGE_SPECIAL, 8100, true);
  const { kind, content } = describePage(page, 0, 0);
  expect(kind).toBe('unknown');
  expect(content.problem).toBeDefined();
  expect(content.items?.length).toBeGreaterThan(0);
});
