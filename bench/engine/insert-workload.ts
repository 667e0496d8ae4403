import { execute, type Workload } from '../support/workload.ts';

const PAGES = 4000;
/** What fits on a page by FILL_PERCENT, and a little more than what is inserted. */
const ROWS_PER_PAGE = 126;
const FILL_PERCENT = 93;

/** Some ten plain inserts on each page of a table, and nothing else on them: the redo that reads are measured with. */
export const REDO_INSERTS: Workload = {
  name: 'ten-inserts',
  settings: { full_page_writes: false },
  prepare: (server) =>
    execute(server, [
      `CREATE TABLE filled (id bigint, number bigint, place point) WITH (fillfactor = ${FILL_PERCENT})`,
      `INSERT INTO filled SELECT n, n * 7919::bigint % 1000003, point(n, n) FROM generate_series(1, ${PAGES * ROWS_PER_PAGE}) n`,
      'ALTER TABLE filled SET (fillfactor = 100)',
      // The free space map learns of the room on each page.
      'VACUUM (FREEZE) filled',
    ]),
  run: (server) =>
    execute(server, [
      `INSERT INTO filled SELECT n, n * 7919::bigint % 1000003, point(n, n) FROM generate_series(1, ${PAGES * 10}) n`,
    ]),
};
