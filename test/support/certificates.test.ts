import { expect, test } from 'vitest';
import { toPem } from './certificates.ts';

test('no line of a certificate is empty, whatever its length', () => {
  for (let length = 300; length < 400; length++) {
    const lines = toPem(new Uint8Array(length)).split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.every((line) => line.length > 0 && line.length <= 64)).toBe(true);
  }
});
