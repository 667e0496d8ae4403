import type { DatabaseDoor } from './database.ts';
import { translateDatabaseError } from './database-errors.ts';
import { SCHEMA } from './migrations.ts';

const TABLE = `${SCHEMA}.projects`;

/** Whether a database that nobody need have taken has projects. @throws as `translateDatabaseError` */
export async function readHasProjects(door: DatabaseDoor): Promise<boolean> {
  try {
    const held = await door.hold(() => undefined);
    try {
      const ask = async (text: string): Promise<boolean> =>
        (await held.query<{ readonly answer: boolean }>(text, [])).rows[0]?.answer === true;
      if (!(await ask(`SELECT to_regclass('${TABLE}') IS NOT NULL AS answer`))) return false;
      return await ask(`SELECT EXISTS (SELECT FROM ${TABLE}) AS answer`);
    } finally {
      await held.end();
    }
  } catch (error) {
    throw translateDatabaseError(error);
  }
}
