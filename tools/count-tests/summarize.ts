interface Report {
  readonly success: boolean;
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/**
 * Counts what vitest's JSON reporter has written. A file that failed outside of its tests (it could not be loaded,
 * or a hook of it failed) counts as one failed test, since vitest counts none for it. An empty text, or one
 * that breaks off, means that vitest has not come to its end.
 */
export function summarize(text: string): { line: string; isPassed: boolean } {
  if (text === '') return { line: '0 passed, 0 failed', isPassed: false };
  let report: Report;
  try {
    report = JSON.parse(text) as Report;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { line: '0 passed, 0 failed', isPassed: false };
  }
  const brokenFiles = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((result) => result.status === 'failed'),
  ).length;
  const failed = report.numFailedTests + brokenFiles;
  const skipped = report.numPendingTests + report.numTodoTests;
  const line = `${report.numPassedTests} passed, ${failed} failed`;
  return {
    line: skipped === 0 ? line : `${line}, ${skipped} skipped`,
    isPassed: report.success && failed === 0 && report.numPassedTests > 0,
  };
}
