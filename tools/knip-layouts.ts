import type { Preprocessor } from 'knip';

/**
 * Loaded by knip (knip.json). A layout of PostgreSQL is written down whole: its constants may stand unused, and two
 * of them may have one value. Everything else that nobody uses is reported.
 */
const keepLayouts: Preprocessor = (report) => {
  for (const type of ['exports', 'duplicates'] as const) {
    for (const issues of Object.values(report.issues[type])) {
      for (const [key, issue] of Object.entries(issues)) {
        if (!issue.filePath.includes('src/postgres/')) continue;
        const names = issue.symbols?.map(({ symbol }) => symbol) ?? [issue.symbol];
        if (!names.every((name) => /^[A-Z][A-Z0-9_]*$/.test(name))) continue;
        delete issues[key];
        report.counters[type] -= 1;
      }
    }
  }
  return report;
};

export default keepLayouts;
