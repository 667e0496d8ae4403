// Names and texts within SQL. What is in them is never more than a name or a text (quote_identifier, ruleutils.c;
// quote_literal_internal, quote.c).

/** @param name without a zero character, which PostgreSQL has no room for */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Means the same whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}
