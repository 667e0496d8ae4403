// What a client of the oracle does: transactions that follow from a seed, and give the same on any server.
import { SeededRandom } from '../support/seeded-random.ts';

export const CLIENTS = 6;
const CLIENT_IDS = 1_000_000;

/** Some statements within BEGIN and COMMIT. Which of other clients come between does not change what comes of it. */
export interface Transaction {
  /** Its row in the ledger, by which it can be found out whether it was committed. */
  readonly id: number;
  readonly statements: readonly string[];
  readonly isPrepared: boolean;
}

/** What all clients write to, and each of them alone. */
export function schema(): string[] {
  const own = Array.from({ length: CLIENTS }, (_, client) => [
    `CREATE TABLE items_${client} (id int PRIMARY KEY, amount bigint NOT NULL, note text)`,
    `CREATE INDEX items_${client}_amount ON items_${client} (amount)`,
    `CREATE INDEX items_${client}_note ON items_${client} USING hash (note)`,
  ]);
  return [
    'CREATE TABLE ledger (id bigint PRIMARY KEY)',
    'CREATE TABLE totals (name int PRIMARY KEY, amount bigint NOT NULL)',
    'INSERT INTO totals SELECT i, 0 FROM generate_series(0, 4) i',
    'CREATE UNLOGGED TABLE scratch (id int)',
    ...own.flat(),
  ];
}

type Make = (random: SeededRandom, client: number, number: number) => string[];

const insert: Make = (random, client, number) => [
  `INSERT INTO items_${client}
     SELECT ${number} * 100 + i, i * ${1 + random.below(1000)}, repeat(md5(i::text), ${random.below(6)})
     FROM generate_series(1, ${1 + random.below(90)}) i`,
];

const change: Make = (random, client) => [
  `UPDATE items_${client} SET amount = amount + ${random.below(50)}, note = left(note, 40) || 'u'
     WHERE id % ${3 + random.below(20)} = 0`,
];

const remove: Make = (random, client) => [
  `DELETE FROM items_${client} WHERE id % ${5 + random.below(30)} = ${random.below(5)}`,
];

/** What is rolled back leaves its traces in pages all the same. */
const partly: Make = (random, client, number) => [
  'SAVEPOINT kept',
  ...insert(random, client, number),
  'SAVEPOINT dropped',
  ...change(random, client, number),
  'ROLLBACK TO dropped',
  'RELEASE kept',
  ...remove(random, client, number),
];

/** Values that are stored out of line. */
const large: Make = (random, client, number) => [
  `INSERT INTO items_${client} SELECT ${number} * 100, 0, string_agg(md5((i * ${random.below(1000)})::text), '')
     FROM generate_series(1, ${500 + random.below(2000)}) i`,
];

/** Rows that several lock at once. */
const shared: Make = (random) => {
  const name = random.below(5);
  return [
    `SELECT 1 FROM totals WHERE name <> ${name} ORDER BY name FOR KEY SHARE`,
    `UPDATE totals SET amount = amount + ${random.below(100)} WHERE name = ${name}`,
  ];
};

const structure: Make = (random, client, number) => {
  const table = `items_${client}`;
  const changes: readonly string[][] = [
    [`DROP INDEX IF EXISTS ${table}_extra`, `CREATE INDEX ${table}_extra ON ${table} (amount, id)`],
    [`ALTER TABLE ${table} ADD COLUMN c${number} int DEFAULT ${number}`],
    [`CREATE TABLE made_${client}_${number} AS SELECT id, amount FROM ${table}`],
    [
      `TRUNCATE ${table}`,
      `INSERT INTO ${table} SELECT ${number} * 100 + i, i, 'n' FROM generate_series(1, 50) i`,
    ],
    [`REINDEX TABLE ${table}`],
    [`CLUSTER ${table} USING ${table}_amount`],
    // Those that this client has made so far, so that a long run does not drown in them.
    [
      `DO $$ DECLARE name text; BEGIN
         FOR name IN SELECT relname FROM pg_class WHERE relname ~ '^made_${client}_' ORDER BY 1 LOOP
           EXECUTE 'DROP TABLE ' || name;
         END LOOP;
       END $$`,
    ],
    [`CREATE SEQUENCE numbers_${client}_${number}`, `SELECT nextval('numbers_${client}_${number}')`],
  ];
  return changes[random.below(changes.length)] as string[];
};

/** By how often. */
const KINDS: readonly (readonly [number, Make])[] = [
  [30, insert],
  [20, change],
  [12, remove],
  [12, partly],
  [6, large],
  [15, shared],
  [5, structure],
];
/** What cannot be prepared, or is a lock that others would wait for until somebody commits it. */
const UNPREPARED: readonly Make[] = [structure, shared];

/** The so-manyth transaction of a client. */
export function drawTransaction(seed: number, client: number, number: number): Transaction {
  const random = new SeededRandom(seed * 31 + client * 7919 + number);
  let place = random.below(KINDS.reduce((sum, [weight]) => sum + weight, 0));
  const [, make] = KINDS.find(([weight]) => (place -= weight) < 0) as (typeof KINDS)[number];
  const id = client * CLIENT_IDS + number;
  const statements = [...make(random, client, number), `INSERT INTO ledger VALUES (${id})`];
  return { id, statements, isPrepared: !UNPREPARED.includes(make) && random.chance(0.2) };
}
