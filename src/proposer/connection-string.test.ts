import { expect, test } from 'vitest';
import { parseConnectionString } from './connection-string.ts';

test.each([
  ['host=/tmp user=postgres', { path: '/tmp/.s.PGSQL.5432' }, 'postgres', undefined],
  [' host=db.example port=6543  user=a\\ b password= ', { host: 'db.example', port: 6543 }, 'a b', ''],
  ["user='it\\'s me' password='a b' dbname=x host=::1", { host: '::1', port: 5432 }, "it's me", 'a b'],
])('%s', (text, address, user, password) => {
  expect(parseConnectionString(text)).toEqual({ address, user, password });
});

test.each([
  ['', 'names no host'],
  ['host=x', 'names no user'],
  ['host=x user=y port=70000', '"70000" is no port'],
  ['host=x user=y sslmode=require', '"sslmode" is none of'],
  ["host=x user='y", 'write keyword=value'],
  ["host=x user='y'z", 'write keyword=value'],
  ['postgres://x', 'write keyword=value'],
])('%s is refused', (text, reason) => {
  expect(() => parseConnectionString(text)).toThrow(reason);
});
