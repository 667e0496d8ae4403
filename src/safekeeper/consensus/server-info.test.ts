import { describe, expect, test } from 'vitest';
import type { ServerInfo } from './persistent-state.ts';
import { checkServer, updatedServer } from './server-info.ts';

const SEGMENT_BYTES = 16 * 1024 * 1024;
const KNOWN: ServerInfo = { pgVersion: 170005, systemIdentifier: 7n, segmentBytes: SEGMENT_BYTES };

describe('whose WAL it is', () => {
  test.each<[string, Partial<ServerInfo>]>([
    ['BAD_SEGMENT_SIZE', { segmentBytes: 0 }],
    ['BAD_SEGMENT_SIZE', { segmentBytes: SEGMENT_BYTES + 1 }],
    ['WRONG_SEGMENT_SIZE', { segmentBytes: SEGMENT_BYTES * 2 }],
    ['WRONG_MAJOR', { pgVersion: 160009 }],
    ['WRONG_SYSTEM_IDENTIFIER', { systemIdentifier: 8n }],
  ])('%s', (code, told) => {
    expect(() => checkServer(KNOWN, { ...KNOWN, ...told })).toThrow(expect.objectContaining({ code }));
  });

  test('another minor version fits, and what one side does not know', () => {
    const unknown = { ...KNOWN, pgVersion: 0, systemIdentifier: 0n };
    expect(() => checkServer(KNOWN, { ...KNOWN, pgVersion: 170011 })).not.toThrow();
    expect(() => checkServer(KNOWN, unknown)).not.toThrow();
    expect(() => checkServer(unknown, KNOWN)).not.toThrow();
  });

  test('is learnt, and never forgotten', () => {
    const unknown = { ...KNOWN, pgVersion: 0, systemIdentifier: 0n };
    expect(updatedServer(unknown, KNOWN)).toEqual(KNOWN);
    expect(updatedServer(KNOWN, unknown)).toBe(KNOWN);
    expect(updatedServer(KNOWN, { ...KNOWN })).toBe(KNOWN);
    expect(updatedServer(KNOWN, { ...KNOWN, pgVersion: 170011 })).toEqual({ ...KNOWN, pgVersion: 170011 });
  });
});
