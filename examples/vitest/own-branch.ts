import pg from 'pg';
import { connectVarve, type VarveBranch } from 'varve';
import { inject } from 'vitest';

interface OwnBranch extends AsyncDisposable {
  readonly branch: VarveBranch;
  readonly pool: pg.Pool;
}

/** A database for one test, with all that main has. It goes at the end of the test. */
export async function ownBranch(): Promise<OwnBranch> {
  const varve = await connectVarve({ directory: inject('varveDirectory') });
  const branch = await varve.branch();
  const pool = new pg.Pool({ connectionString: branch.url });
  return {
    branch,
    pool,
    [Symbol.asyncDispose]: async () => {
      await pool.end();
      await branch.delete();
    },
  };
}
