import { expect, test } from 'vitest';
import { deriveScramSecret, formatScramSecret } from '../postgres/wire/scram.ts';
import {
  databaseStatements,
  type ExistingObjects,
  type ExistingRole,
  roleStatements,
} from './role-statements.ts';

const random = { fraction: () => 0.5, bytes: (length: number) => new Uint8Array(length).fill(9) };
const secretOf = (password: string, salt: number): string =>
  formatScramSecret(deriveScramSecret(password, new Uint8Array(16).fill(salt), 4096));

const NOTHING: ExistingObjects = { roles: [], databases: [] };
const APP: ExistingRole = {
  ...{ name: 'app', password: secretOf('right', 3), login: true, superuser: false, createdb: false },
  ...{ createrole: false, replication: false, bypassrls: false, connectionLimit: -1 },
  ...{ validUntil: '2030-01-01 00:00:00+00', memberOf: ['readers'] },
};
const HAS_APP: ExistingObjects = { roles: [APP], databases: [{ name: 'd', owner: 'app' }] };

test('a role that is not there is made, and then a member of others', () => {
  const roles = [
    { name: 'a"b', login: true, password: 'x', memberOf: ["c'd"] },
    { name: "c'd", connectionLimit: 3, validUntil: 'infinity' as const, bypassrls: false },
  ];
  expect(roleStatements(roles, NOTHING, random)).toEqual([
    { path: 'roles.0', sql: `CREATE ROLE "a""b" LOGIN PASSWORD '${secretOf('x', 9)}'` },
    { path: 'roles.1', sql: `CREATE ROLE "c'd" NOBYPASSRLS CONNECTION LIMIT 3 VALID UNTIL 'infinity'` },
    { path: 'roles.0.memberOf.0', sql: `GRANT "c'd" TO "a""b"` },
  ]);
});

test.each([
  ['nothing is said', {}],
  ['all is as it is', { login: true, createdb: false, connectionLimit: -1, memberOf: ['readers'] }],
  ['the password is that of another salt', { password: 'right' }],
  ['the secret is the same', { password: APP.password }],
  ['the time is the same, written otherwise', { validUntil: '2030-01-01T01:00:00+01:00' }],
])('nothing is done where %s', (_name, wanted) => {
  expect(roleStatements([{ name: 'app', ...wanted }], HAS_APP, random)).toEqual([]);
});

test.each([
  [{ login: false, createrole: true }, 'NOLOGIN CREATEROLE'],
  [{ password: 'wrong' }, `PASSWORD '${secretOf('wrong', 9)}'`],
  [{ password: secretOf('right', 4) }, `PASSWORD '${secretOf('right', 4)}'`],
  [{ password: null }, 'PASSWORD NULL'],
  [{ validUntil: 'infinity' as const }, "VALID UNTIL 'infinity'"],
])('%j changes that alone', (wanted, options) => {
  expect(roleStatements([{ name: 'app', ...wanted }], HAS_APP, random)).toEqual([
    { path: 'roles.0', sql: `ALTER ROLE "app" ${options}` },
  ]);
});

test('a password takes the place of an MD5 hash, and of none', () => {
  for (const password of [`md5${'0'.repeat(32)}`, null]) {
    const existing = { ...HAS_APP, roles: [{ ...APP, password }] };
    expect(roleStatements([{ name: 'app', password: 'x' }], existing, random)).toHaveLength(1);
    expect(roleStatements([{ name: 'app' }], existing, random)).toEqual([]);
  }
  const none = { ...HAS_APP, roles: [{ ...APP, password: null }] };
  expect(roleStatements([{ name: 'app', password: null }], none, random)).toEqual([]);
});

test('databases are made, or get another owner', () => {
  const wanted = [
    { name: 'd', owner: 'app' },
    { name: 'd', owner: 'o"x' },
    { name: 'd' },
    { name: 'e', owner: 'app' },
    { name: 'f' },
  ];
  expect(databaseStatements(wanted, HAS_APP)).toEqual([
    { path: 'databases.1.owner', sql: 'ALTER DATABASE "d" OWNER TO "o""x"' },
    { path: 'databases.3', sql: 'CREATE DATABASE "e" OWNER "app"' },
    { path: 'databases.4', sql: 'CREATE DATABASE "f"' },
  ]);
});
