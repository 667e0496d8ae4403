import { expect, test } from 'vitest';
import { canonicalDump, firstDifference, formatDump } from './canonical-dump.ts';
import { checkRelations } from './check-relations.ts';
import { StockPostgres } from './stock-postgres.ts';

const SCHEMA = `
  CREATE ROLE reader; COMMENT ON ROLE reader IS 'reads';
  CREATE SCHEMA s; COMMENT ON SCHEMA s IS 'a schema';
  CREATE TYPE s.mood AS ENUM ('ok', 'sad'); CREATE DOMAIN s.positive AS int CHECK (VALUE > 0);
  CREATE TABLE s.t (id serial PRIMARY KEY, m s.mood DEFAULT 'ok', p s.positive, f float8, b bytea, tz timestamptz);
  CREATE INDEX t_m ON s.t (m) WHERE p > 5;
  CREATE VIEW s.v AS SELECT id FROM s.t; CREATE MATERIALIZED VIEW s.mv AS SELECT count(*) FROM s.t;
  CREATE TABLE s.parts (k int) PARTITION BY RANGE (k); CREATE TABLE s.part PARTITION OF s.parts FOR VALUES FROM (0) TO (9);
  CREATE FUNCTION s.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
  CREATE AGGREGATE s.total (int) (sfunc = int4pl, stype = int, initcond = '0');
  CREATE TRIGGER tr BEFORE UPDATE ON s.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
  CREATE POLICY pol ON s.t USING (id > 1); GRANT SELECT ON s.t TO reader; COMMENT ON COLUMN s.t.p IS 'p';
  CREATE STATISTICS s.st ON m, p FROM s.t; CREATE PUBLICATION pub FOR TABLE s.t;
  INSERT INTO s.t (p, f, b, tz) SELECT i, 1 / i::float8, int4send(i), '2020-01-01Z' FROM generate_series(1, 20) i;
  INSERT INTO s.part VALUES (1), (1), (2);
  SELECT lo_from_bytea(4711, '\\x0102');
`;

/** Each changes one thing that a dump must show. */
const CHANGES = [
  ['UPDATE s.t SET f = f + 1e-9 WHERE id = 7', 'rows of s.t'],
  ["ALTER TABLE s.t ALTER m SET DEFAULT 'sad'", 'columns'],
  ['ALTER TABLE s.t ALTER p SET NOT NULL', 'columns'],
  ["CREATE OR REPLACE FUNCTION s.one() RETURNS int LANGUAGE sql AS 'SELECT 2'", 'functions'],
  ['CREATE OR REPLACE VIEW s.v AS SELECT id FROM s.t WHERE id > 3', 'relations'],
  ['REVOKE SELECT ON s.t FROM reader', 'relations'],
  ["COMMENT ON COLUMN s.t.p IS 'q'", 'comments'],
  ["COMMENT ON ROLE reader IS 'writes'", 'comments on shared objects'],
  ["SELECT nextval('s.t_id_seq')", 'sequences'],
  ["SELECT lo_put(4711, 0, '\\\\x09')", 'large objects'],
  ['DROP INDEX s.t_m', 'relations'],
  ['ALTER DOMAIN s.positive ADD CHECK (VALUE < 1000)', 'constraints'],
  ["ALTER TYPE s.mood ADD VALUE 'new'", 'types'],
  ['INSERT INTO s.part VALUES (2)', 'rows of s.part'],
  ['REFRESH MATERIALIZED VIEW s.mv', 'rows of s.mv'],
  ['ALTER ROLE reader LOGIN', 'roles'],
  ['ALTER POLICY pol ON s.t USING (id > 2)', 'policies'],
] as const;

test('a dump is the same as long as nothing changes, and shows each change', async () => {
  await using server = await StockPostgres.create({
    major: 17,
    settings: { autovacuum: false, fsync: false },
  });
  await server.start();
  await server.query(SCHEMA);
  let before = await canonicalDump(server);
  await server.query('VACUUM FULL s.t');
  await server.query('CHECKPOINT');
  let after = await canonicalDump(server);
  expect(firstDifference(before, after)).toBeUndefined();
  expect(formatDump(after)).toBe(formatDump(before));
  expect(formatDump(after)).toContain(
    '(7,ok,7,0.14285714285714285,"\\\\x00000007","2020-01-01 00:00:00+00")',
  );
  for (const [statement, section] of CHANGES) {
    await server.query(statement);
    after = await canonicalDump(server, { databases: ['postgres'] });
    before = before.filter(({ title }) => after.some((other) => other.title === title));
    expect(firstDifference(before, after), statement).toMatch(`${section}: line`);
    before = after;
  }
  await server.query('CREATE TABLE s.more ()');
  expect(firstDifference(before, await canonicalDump(server, { databases: ['postgres'] }))).toContain(
    'rows of s.more',
  );
  expect((await checkRelations(server, 'postgres')).problems).toEqual([]);
});

test('the rows of the catalogs are those of a physical copy', async () => {
  await using server = await StockPostgres.create({
    major: 17,
    settings: { autovacuum: false, fsync: false },
  });
  await server.start();
  const options = { withCatalogRows: true, databases: ['postgres'] };
  const before = await canonicalDump(server, options);
  await server.query('CREATE TABLE t (); DROP TABLE t; ALTER ROLE postgres SET work_mem = 1000');
  const after = await canonicalDump(server, options);
  expect(firstDifference(before, after)).toContain('settings of roles');
  await server.query('ALTER ROLE postgres RESET ALL');
  expect(firstDifference(before, await canonicalDump(server, options))).toBeUndefined();
  await server.query('VACUUM pg_class');
  expect(firstDifference(before, await canonicalDump(server, options))).toContain('catalog pg_class');
});
