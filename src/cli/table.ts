/** Rows of text in columns. The last column is not padded. @param right numbers of the columns that hold numbers */
export function tableLines(rows: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((width, row) => Math.max(width, (row[column] as string).length), 0),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        if (right.includes(column)) return cell.padStart(widths[column] as number);
        return column === row.length - 1 ? cell : cell.padEnd(widths[column] as number);
      })
      .join('  ')
      .trimEnd(),
  );
}
