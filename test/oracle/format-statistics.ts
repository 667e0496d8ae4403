import { resourceManagers } from '../../src/postgres/rmgr/resource-managers.ts';
import type { OracleResult } from './oracle.ts';
import { unreachableKinds } from './unreachable-kinds.ts';

function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => String(row[column]).length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          typeof cell === 'number'
            ? String(cell).padStart(widths[column] as number)
            : String(cell).padEnd(widths[column] as number),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function nameKind({ resourceManager, kind }: { resourceManager: string; kind: string }): string {
  return `${resourceManager} ${kind}`;
}

/** The table of an oracle run: what was seen of each record kind, and what was compared at the end. */
export function formatStatistics(result: OracleResult): string {
  const order = resourceManagers.map((manager) => manager.name);
  const rows = [...result.rows].sort(
    (left, right) =>
      order.indexOf(left.resourceManager) - order.indexOf(right.resourceManager) ||
      left.kind.localeCompare(right.kind),
  );
  const { directory, workload } = result;
  const missed = result.unseen.filter(
    (kind) => !unreachableKinds.some((unreachable) => nameKind(unreachable) === nameKind(kind)),
  );
  const lines = [
    table([
      ['resource manager', 'record kind', 'records', 'pages compared', 'mismatches'],
      ...rows.map((row) => [row.resourceManager, row.kind, row.records, row.pages, row.mismatches]),
    ]),
    '',
    `not seen in this run: ${missed.map(nameKind).join(', ') || 'none'}`,
    ...unreachableKinds.map(
      (kind) => `not seen in any run: ${nameKind(kind)}: ${kind.reason}; covered by ${kind.coveredBy}`,
    ),
    `stopped server: ${directory.relations} relations with ${directory.relationPages} pages, ${directory.slruPages} pages of transaction status and the like, ${directory.relationMaps} relation maps, ${directory.preparedTransactions} prepared transactions`,
    `the server's own replay: ${result.recoveredPages} pages compared byte for byte; ${result.differences.length} differences in all`,
    `workload: ${workload.statements} statements, ${workload.immediateStops} kills, ${workload.cleanStops} clean stops, ${workload.recoveriesWithoutCheck} recoveries without the server's own check, ${Math.round(workload.walBytes / 1e6)} MB of WAL; replayed in ${result.replaySeconds.toFixed(1)} s`,
  ];
  return lines.join('\n');
}
