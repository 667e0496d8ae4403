// What tests of computes do as clients of their servers.
import { Client } from 'pg';
import { expect } from 'vitest';
import type { Connector } from '../support/pgbench.ts';
import type { VarveProcess } from '../support/varve-process.ts';

/** What `varve compute --json` prints when its server lets clients in. */
export interface Ready {
  readonly event: 'ready';
  readonly url: string;
  readonly pid: number;
  readonly term: number;
  readonly steps: Readonly<Record<string, number>>;
}

export async function readyLine(process: VarveProcess): Promise<Ready> {
  const line = await process.line<Ready>();
  expect(line).toMatchObject({ event: 'ready' });
  return line;
}

/** The caller ends it. */
export async function connect(url: string): Promise<Client> {
  const client = new Client(url);
  // A connection that is lost also rejects its query.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Over a connection of its own. */
export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = await connect(url);
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** What a process that has ended says it has failed of. */
export function errorOf(process: VarveProcess): { kind: string; code: string; message: string } {
  const last = process.log.at(-1) as { error?: { kind: string; code: string; message: string } } | undefined;
  if (last?.error === undefined) throw new Error(`no error is said: ${process.errorText}`);
  return last.error;
}

/** For what asks for connections by itself. */
export function connectorOf(url: string): Connector {
  return {
    connect: async (options = {}) => {
      const config = typeof options === 'string' ? { database: options } : options;
      const client = new Client({ connectionString: url, ...config });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
  };
}
