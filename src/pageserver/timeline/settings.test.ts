import { expect, test } from 'vitest';
import { checkSettings, TIMELINE_DEFAULTS } from './settings.ts';

test('settings that make no sense are refused by name', () => {
  checkSettings(TIMELINE_DEFAULTS);
  for (const bad of [{ bottomThreshold: 1 }, { frozenLayersMax: 0 }, { historyMs: Number.NaN }]) {
    const name = Object.keys(bad)[0] as string;
    expect(() => checkSettings({ ...TIMELINE_DEFAULTS, ...bad })).toThrow(name);
  }
});
