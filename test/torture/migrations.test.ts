import { expect, test } from 'vitest';
import { runMigrations } from './migrations-round.ts';

/** How often the tenant moves. */
const MIGRATIONS = Number(process.env['VARVE_MIGRATIONS'] ?? 6);

test('PS-08: a tenant moves under load and readers that never read, in less than 5 s each time, and no page is wrong', async () => {
  const result = await runMigrations({ seed: 11, migrations: MIGRATIONS, hasChaos: false });
  expect(result).toMatchObject({ wrong: [], stuck: [] });
  expect(result.actions.get('migrate')).toBe(MIGRATIONS);
  expect(result.pages).toBeGreaterThan(10 * MIGRATIONS);
  // Clients have been in its midst.
  expect(result.retries).toBeGreaterThan(0);
}, 600_000);

test('PS-15: migrations that are broken off, repeated at once, and interrupted by restarts leave nothing stuck or wrong', async () => {
  const actions = ['migrate', 'migrate impatiently', 'break off', 'restart in the midst', 'attach anew'];
  // With this seed each of them comes once.
  const result = await runMigrations({ seed: 55, migrations: 3, hasChaos: true, actions });
  expect(result).toMatchObject({ wrong: [], stuck: [] });
  expect(result.pages).toBeGreaterThan(100);
}, 600_000);
