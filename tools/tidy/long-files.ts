/** Lines that a file in src may have. Past 400, ask whether two nouns share it. */
export const LINES_MAX = 600;

/** The files that may be longer, each with the reason. A file that is shorter again must leave this list. */
export const LONG_FILES: Readonly<Record<string, string>> = {};
