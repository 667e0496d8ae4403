/** `fail`: a start does not work, or loses what it is told to keep. `warn`: it works, and not as well as it could. */
export type Level = 'ok' | 'warn' | 'fail';

/** What has been found of one thing. */
export interface Finding {
  readonly check: string;
  readonly level: Level;
  readonly text: string;
  /** What to do about it; undefined where it is well. */
  readonly fix?: string;
}

export const ok = (check: string, text: string): Finding => ({ check, level: 'ok', text });

export const warn = (check: string, text: string, fix: string): Finding => ({
  check,
  level: 'warn',
  text,
  fix,
});

export const fail = (check: string, text: string, fix: string): Finding => ({
  check,
  level: 'fail',
  text,
  fix,
});
