import type { ErrorKind } from '../base/errors.ts';

/** What a status of the process says. docs/exit-codes.md is the page for users; a test holds the two together. */
export const EXIT = {
  success: 0,
  /** The command has worked, and its answer is no: nothing found, or a difference. */
  no: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  precondition: 5,
  unavailable: 6,
  fenced: 7,
  corruption: 8,
  /** EX_SOFTWARE of sysexits.h. */
  bug: 70,
  /** What a shell shows for a process that an interrupt has ended: 128 + SIGINT. */
  cancelled: 130,
} as const;

export const EXIT_BY_KIND: Readonly<Record<ErrorKind, number>> = {
  'bad-request': EXIT.usage,
  'not-found': EXIT.notFound,
  conflict: EXIT.conflict,
  precondition: EXIT.precondition,
  unavailable: EXIT.unavailable,
  fenced: EXIT.fenced,
  corruption: EXIT.corruption,
  assertion: EXIT.bug,
  cancelled: EXIT.cancelled,
};
