import pg from 'pg';
import { startVarve, type Varve } from 'varve';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    varveDirectory: string;
  }
}

let varve: Varve;

/** Once, before all tests: a Varve in a temporary directory, with the schema and the rows that every test begins with. */
export async function setup(project: TestProject): Promise<void> {
  varve = await startVarve();
  const client = new pg.Client(varve.url);
  await client.connect();
  await client.query(`
    CREATE TABLE accounts (name text PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
    INSERT INTO accounts VALUES ('ann', 100), ('bob', 100);
  `);
  await client.end();
  project.provide('varveDirectory', varve.directory);
}

export async function teardown(): Promise<void> {
  await varve.stop();
}
