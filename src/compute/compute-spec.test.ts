import { expect, test } from 'vitest';
import { parseComputeSpec } from './compute-spec.ts';

const parse = (spec: unknown): unknown => parseComputeSpec(JSON.stringify(spec));

test('an empty spec asks for nothing', () => {
  expect(parse({})).toEqual({ settings: {}, roles: [], databases: [] });
});

test('values are what PostgreSQL writes, lines are one text, libraries are a setting', () => {
  expect(
    parse({
      settings: { work_mem: '4MB', jit: false, 'auto_explain.log_min_duration': 0 },
      hostBasedAuthentication: ['local all all trust', 'host all all all reject'],
      sharedPreloadLibraries: ['pg_stat_statements', 'a"b'],
    }),
  ).toEqual({
    settings: {
      work_mem: '4MB',
      jit: 'off',
      'auto_explain.log_min_duration': '0',
      shared_preload_libraries: '"pg_stat_statements", "a""b"',
    },
    hostBasedAuthentication: 'local all all trust\nhost all all all reject',
    roles: [],
    databases: [],
  });
});

const MD5 = `md5${'0'.repeat(32)}`;

test.each<[object, string]>([
  [{ rols: [] }, 'rols: there is no such field; did you mean “roles”?'],
  [{ settings: { FSYNC: 'off' } }, 'settings.FSYNC: the setting fsync is not to be chosen'],
  [{ settings: { include: 'x' } }, 'settings.include: “include” is no name of a setting'],
  [{ settings: { constructor: 'x\ny' } }, 'settings.constructor: the setting constructor has a line break'],
  [{ settings: { work_mem: null } }, 'settings.work_mem: '],
  [{ hostBasedAuthentication: ['a\nb'] }, 'hostBasedAuthentication.0: a line has a line break in it'],
  [{ roles: [{}] }, 'roles.0.name: '],
  [{ roles: [{ name: '' }] }, 'roles.0.name: a name is empty'],
  [{ roles: [{ name: 'é'.repeat(32) }] }, 'roles.0.name: a name has more than 63 bytes'],
  [{ roles: [{ name: 'a\0b' }] }, 'roles.0.name: this is no name'],
  [{ roles: [{ name: 'pg_mine' }] }, 'roles.0.name: PostgreSQL keeps the name “pg_mine” for itself'],
  [{ roles: [{ name: 'public' }] }, 'roles.0.name: PostgreSQL keeps'],
  [{ roles: [{ name: 'a' }, { name: 'a' }] }, 'roles.1.name: “a” is there twice'],
  [{ roles: [{ name: 'postgres', superuser: false }] }, 'roles.0: the compute itself works as postgres'],
  [{ roles: [{ name: 'a', password: '' }] }, 'roles.0.password: a password is empty'],
  [{ roles: [{ name: 'a', password: MD5 }] }, 'roles.0.password: this is an MD5 hash'],
  [{ roles: [{ name: 'a', password: 'SCRAM-SHA-256$x' }] }, 'roles.0.password: malformed SCRAM message'],
  [{ roles: [{ name: 'a', password: 'pässword' }] }, 'roles.0.password: only passwords of printable ASCII'],
  [{ roles: [{ name: 'a', validUntil: 'tomorrow' }] }, 'roles.0.validUntil: '],
  [{ roles: [{ name: 'a', connectionLimit: -2 }] }, 'roles.0.connectionLimit: '],
  [
    { databases: [{ name: 'd', ownr: 'a' }] },
    'databases.0.ownr: there is no such field; did you mean “owner”?',
  ],
  [{ tls: { certificate: 'x' } }, 'tls.key: '],
  [{ sharedPreloadLibraries: [''] }, 'sharedPreloadLibraries.0: this is no name of a library'],
  [
    { sharedPreloadLibraries: ['a'], settings: { Shared_Preload_Libraries: 'b' } },
    'sharedPreloadLibraries: the setting shared_preload_libraries is given, too',
  ],
])('%j is refused by the name of its field', (spec, reason) => {
  expect(() => parse(spec)).toThrow(`the spec is wrong: ${reason}`);
});

test('a secret is in no message', () => {
  for (const text of ['{"password": "hidden"', '{"password": "hidden" x}', 'hidden']) {
    expect(() => parseComputeSpec(text)).toThrow(/^this is no JSON/);
    expect(() => parseComputeSpec(text)).not.toThrow(/hidden/);
  }
  expect(() => parse({ roles: [{ name: 'a', password: 'SCRAM-SHA-256$4096:hidden' }] })).not.toThrow(
    /hidden/,
  );
});
