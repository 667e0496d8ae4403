import { expect, test } from 'vitest';
import { environmentOf, parseServerUrl } from './server-url.ts';

test('a URL is read as libpq reads it', () => {
  const url = parseServerUrl(
    'postgresql://a%40b:p%2Fw%20@[::1]:6543/my%20db?sslmode=require&channel_binding=require',
    {},
  );
  expect(url).toMatchObject({
    address: { host: '::1', port: 6543 },
    user: 'a@b',
    password: 'p/w ',
    database: 'my db',
    sslMode: 'require',
  });
  expect(environmentOf(url)).toEqual({
    PGHOST: '::1',
    PGPORT: '6543',
    PGUSER: 'a@b',
    PGDATABASE: 'my db',
    PGSSLMODE: 'require',
    PGPASSWORD: 'p/w ',
  });
  const socket = parseServerUrl('postgres:///db?host=/run/postgres&port=5433', {
    PGUSER: 'u',
    PGPASSWORD: 'secret',
  });
  expect(socket).toMatchObject({
    address: { path: '/run/postgres/.s.PGSQL.5433' },
    user: 'u',
    password: 'secret',
  });
  expect(environmentOf(socket)).toMatchObject({ PGHOST: '/run/postgres', PGPORT: '5433' });
  expect(parseServerUrl('postgres://u@h', {})).toMatchObject({ database: 'u', sslMode: 'prefer' });
});

test.each([
  'host=127.0.0.1',
  'http://h/d',
  'postgres://u:secret@h:70000/d',
  'postgres://u:secret@h1,h2/d',
  'postgres://u:secret@h/d?sslmode=maybe',
  'postgres://u:secret@h/d?sslcert=x',
  'postgres://u:secret%zz@h/d',
])('%s is refused, and its password not shown', (text) => {
  let refusal: unknown;
  try {
    parseServerUrl(text, {});
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code: 'BAD_URL', message: expect.not.stringContaining('secret') });
});
