import type { Client } from 'pg';
import { connect } from '../compute/compute-client.ts';

/** Some 1600 bytes, which tell of what they are. */
const BODY = (id: string, version: string): string => `repeat(md5(${id} || ':' || ${version}), 50)`;
const INDEXES = [
  { using: 'gin (tags)', query: 'tags @> ARRAY[id % 50]' },
  { using: 'gist (place)', query: "place <@ box '(-1,-1),(1000000,1000000)'" },
  { using: 'spgist (place)', query: "place <@ box '(-1,-1),(1000000,1000000)'" },
  { using: 'hash (id)', query: 'id = id' },
  { using: 'brin (id)', query: 'id >= 0' },
  { using: 'btree (version, id)', query: 'version >= 0' },
];

/** One session, with a table of its own, and what has to be in it. */
export class Session {
  readonly number: number;
  readonly #url: string;
  readonly #rows: number;
  readonly #model = new Map<number, number>();
  readonly #problems: string[];
  #client!: Client;
  #state: number;
  #next = 0;
  #lastValue = 0;
  turns = 0;

  constructor(url: string, number: number, rows: number, seed: number, problems: string[]) {
    this.#url = url;
    this.number = number;
    this.#rows = rows;
    this.#state = (seed * 2_654_435_761 + number * 40_503 + 1) >>> 0;
    this.#problems = problems;
  }

  async open(): Promise<void> {
    this.#client = await connect(this.#url);
    const { number } = this;
    await this.#run(
      `CREATE TABLE own_${number} (id int PRIMARY KEY, version int, tags int[], place point, body text)`,
    );
    await this.#run(`ALTER TABLE own_${number} ALTER body SET STORAGE plain`);
    await this.#run(`CREATE TABLE side_${number} (id int, body text)`);
    await this.#run(`CREATE SEQUENCE numbers_${number}`);
    await this.#insert(this.#rows);
  }

  /** Without a table. */
  async openBare(): Promise<void> {
    this.#client = await connect(this.#url);
  }

  /** What a server that has the branch would say of this table. */
  async check(url: string): Promise<void> {
    await this.#client.end();
    this.#client = await connect(url);
    await this.#scan();
    await this.#countByIndex();
    const { rows } = await this.#client.query(`SELECT id, version FROM own_${this.number}`);
    for (const { id, version } of rows)
      if (this.#model.get(id) !== version)
        this.#problem(`row ${id} has version ${version}, not ${this.#model.get(id)}`);
    if (rows.length !== this.#model.size) this.#problem(`${rows.length} rows, not ${this.#model.size}`);
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  async turn(): Promise<void> {
    const turn = this.#random(100);
    this.turns++;
    if (turn < 25) await this.#update();
    else if (turn < 50) await this.#read();
    else if (turn < 60) await this.#scan();
    else if (turn < 66) await this.#countByIndex();
    else if (turn < 74) await this.#replace();
    else if (turn < 79)
      await this.#run(`VACUUM ${this.#random(2) === 0 ? '(FREEZE) ' : ''}own_${this.number}`);
    else if (turn < 86) await this.#index();
    else if (turn < 91) await this.#side();
    else if (turn < 95) await this.#number();
    else if (turn < 97) await this.#run(`VACUUM FULL side_${this.number}`);
    else await this.#run(`REINDEX TABLE own_${this.number}`);
  }

  /** A copy of a database, which is the same as that. */
  async copyDatabase(template: string, strategy: 'wal_log' | 'file_copy', rows: number): Promise<void> {
    const name = `copy_${this.number}`;
    await this.#run(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY ${strategy}`);
    const client = await connect(this.#url.replace(/\/[^/]*$/, `/${name}`));
    for (let round = 0; round < 3; round++) {
      const result = await client.query(
        `SELECT count(*)::int AS n, count(*) FILTER (WHERE body <> ${BODY('id', '0')})::int AS bad FROM kept`,
      );
      if (result.rows[0].n !== rows || result.rows[0].bad !== 0)
        this.#problem(`a copied database has ${JSON.stringify(result.rows[0])}`);
      await client.query('UPDATE kept SET id = id WHERE id % 7 = 0');
    }
    await client.end();
    await this.#run(`DROP DATABASE ${name}`);
  }

  async #insert(count: number): Promise<void> {
    const first = this.#next;
    this.#next += count;
    await this.#run(`INSERT INTO own_${this.number}
      SELECT i, 0, ARRAY[i % 50, i % 7], point(i % 1000, i / 1000), ${BODY('i', '0')}
      FROM generate_series(${first}, ${this.#next - 1}) i`);
    for (let id = first; id < this.#next; id++) this.#model.set(id, 0);
  }

  async #update(): Promise<void> {
    const first = this.#random(this.#next);
    const end = first + 1 + this.#random(60);
    const isKept = this.#random(4) > 0;
    await this.#client.query('BEGIN');
    await this.#run(`UPDATE own_${this.number} SET version = version + 1, body = ${BODY('id', '(version + 1)')}
      WHERE id >= ${first} AND id < ${end}`);
    await this.#client.query(isKept ? 'COMMIT' : 'ROLLBACK');
    if (!isKept) return;
    for (let id = first; id < end; id++) {
      const version = this.#model.get(id);
      if (version !== undefined) this.#model.set(id, version + 1);
    }
  }

  async #read(): Promise<void> {
    const ids = Array.from({ length: 20 }, () => this.#random(this.#next));
    const { rows } = await this.#client.query(
      `SELECT id, version, body = ${BODY('id', 'version')} AS is_right FROM own_${this.number} WHERE id = ANY ($1)`,
      [ids],
    );
    const wanted = new Set(ids.filter((id) => this.#model.has(id)));
    if (rows.length !== wanted.size) this.#problem(`${rows.length} of ${wanted.size} rows are found`);
    for (const { id, version, is_right } of rows)
      if (this.#model.get(id) !== version || is_right !== true)
        this.#problem(`row ${id} is read as ${version}, not ${this.#model.get(id)}`);
  }

  async #scan(): Promise<void> {
    const { rows } = await this.#client.query(`SELECT count(*)::int AS n, sum(version)::int AS versions,
      count(*) FILTER (WHERE body <> ${BODY('id', 'version')})::int AS bad FROM own_${this.number}`);
    const versions = [...this.#model.values()].reduce((sum, version) => sum + version, 0);
    const { n, versions: found, bad } = rows[0];
    if (n !== this.#model.size || found !== versions || bad !== 0)
      this.#problem(`a scan finds ${JSON.stringify(rows[0])}, not ${this.#model.size} and ${versions}`);
  }

  /** By the visibility map where that says so. */
  async #countByIndex(): Promise<void> {
    await this.#client.query('SET enable_seqscan = off; SET enable_bitmapscan = off');
    const { rows } = await this.#client.query(`SELECT count(*)::int AS n, sum(id)::bigint::text AS ids
      FROM own_${this.number} WHERE id >= 0`);
    await this.#client.query('RESET enable_seqscan; RESET enable_bitmapscan');
    const ids = [...this.#model.keys()].reduce((sum, id) => sum + id, 0);
    if (rows[0].n !== this.#model.size || rows[0].ids !== String(ids))
      this.#problem(`the index finds ${JSON.stringify(rows[0])}, not ${this.#model.size} and ${ids}`);
  }

  async #replace(): Promise<void> {
    const first = this.#random(this.#next);
    const end = first + 1 + this.#random(100);
    await this.#run(`DELETE FROM own_${this.number} WHERE id >= ${first} AND id < ${end}`);
    let count = 0;
    for (let id = first; id < end; id++) if (this.#model.delete(id)) count++;
    if (count > 0) await this.#insert(count);
  }

  async #index(): Promise<void> {
    const { using, query } = INDEXES[this.#random(INDEXES.length)] as (typeof INDEXES)[number];
    const name = `extra_${this.number}`;
    await this.#run(`CREATE INDEX ${name} ON own_${this.number} USING ${using}`);
    await this.#update();
    await this.#client.query('SET enable_seqscan = off');
    for (let round = 0; round < 2; round++) {
      const { rows } = await this.#client.query(
        `SELECT count(*)::int AS n FROM own_${this.number} WHERE ${query}`,
      );
      if (rows[0].n !== this.#model.size)
        this.#problem(`${using} finds ${rows[0].n} rows, not ${this.#model.size}`);
    }
    await this.#client.query('RESET enable_seqscan');
    await this.#run(`DROP INDEX ${name}`);
  }

  /** A table that is emptied, unlogged, logged again. */
  async #side(): Promise<void> {
    const name = `side_${this.number}`;
    await this.#run(`TRUNCATE ${name}`);
    const count = 50 + this.#random(400);
    await this.#run(`INSERT INTO ${name} SELECT i, ${BODY('i', '0')} FROM generate_series(1, ${count}) i`);
    if (this.#random(2) === 0) {
      await this.#run(`ALTER TABLE ${name} SET UNLOGGED`);
      await this.#run(`CREATE INDEX ON ${name} USING gist (point(id, id))`);
      await this.#run(`UPDATE ${name} SET id = id + 1000 WHERE id % 3 = 0`);
      await this.#run(`ALTER TABLE ${name} SET LOGGED`);
    }
    const { rows } = await this.#client.query(
      `SELECT count(*)::int AS n, count(*) FILTER (WHERE body <> ${BODY('(id % 1000)', '0')})::int AS bad FROM ${name}`,
    );
    if (rows[0].n !== count || rows[0].bad !== 0)
      this.#problem(`a side table has ${JSON.stringify(rows[0])}, not ${count}`);
  }

  async #number(): Promise<void> {
    const { rows } = await this.#client.query(`SELECT nextval('numbers_${this.number}')::int AS n`);
    if (rows[0].n <= this.#lastValue) this.#problem(`a sequence gives ${rows[0].n} after ${this.#lastValue}`);
    // Nobody crashes: it is never ahead of what it has given.
    if (rows[0].n !== this.#lastValue + 1)
      this.#problem(`a sequence goes from ${this.#lastValue} to ${rows[0].n}`);
    this.#lastValue = rows[0].n;
  }

  async #run(text: string): Promise<void> {
    await this.#client.query(text);
  }

  #problem(text: string): void {
    this.#problems.push(`session ${this.number}: ${text}`);
  }

  #random(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * below);
  }
}
