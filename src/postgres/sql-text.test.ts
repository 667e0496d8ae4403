import { expect, test } from 'vitest';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';

test('what is in a name or a text is never more', () => {
  expect(quoteIdentifier('a"; DROP')).toBe('"a""; DROP"');
  expect(quoteLiteral("it's")).toBe("'it''s'");
  expect(quoteLiteral("\\'; DROP")).toBe("E'\\\\''; DROP'");
});
