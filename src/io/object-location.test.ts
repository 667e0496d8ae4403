import { expect, test } from 'vitest';
import { BadRequestError } from '../base/errors.ts';
import { parseObjectLocation } from './object-location.ts';

const s3 = {
  kind: 's3',
  bucket: 'my-bucket',
  prefix: '',
  endpoint: undefined,
  region: undefined,
  isPathStyle: false,
};

test('reads directories', () => {
  expect(parseObjectLocation('file:///var/lib/varve')).toEqual({ kind: 'directory', path: '/var/lib/varve' });
  expect(parseObjectLocation('file:///a%20b/c/')).toEqual({ kind: 'directory', path: '/a b/c' });
  expect(parseObjectLocation('file:///.a/...')).toEqual({ kind: 'directory', path: '/.a/...' });
  expect(parseObjectLocation('file:///%C3%A9')).toEqual({ kind: 'directory', path: '/é' });
});

test('reads buckets', () => {
  expect(parseObjectLocation('s3://my-bucket')).toEqual(s3);
  expect(parseObjectLocation('s3://my-bucket/')).toEqual(s3);
  expect(parseObjectLocation('s3://my-bucket/a/b%20c/')).toEqual({ ...s3, prefix: 'a/b c' });
  expect(parseObjectLocation('s3://my-bucket/a?region=eu-central-1')).toEqual({
    ...s3,
    prefix: 'a',
    region: 'eu-central-1',
  });
  expect(parseObjectLocation('s3://my-bucket/a?endpoint=http://127.0.0.1:9000')).toEqual({
    ...s3,
    prefix: 'a',
    endpoint: 'http://127.0.0.1:9000',
    isPathStyle: true,
  });
  const text = 's3://my-bucket?endpoint=https%3A%2F%2Fstore.example%2F&path-style=false&region=auto';
  expect(parseObjectLocation(text)).toEqual({ ...s3, endpoint: 'https://store.example', region: 'auto' });
});

test('refuses what is no place for objects, and repeats no secret', () => {
  const refused = [
    ...['', 'varve', '/var/lib/varve', 'http://host/dir', 's3:', 's3://', 's3:///prefix', 'gs://my-bucket'],
    ...[
      'file://',
      'file:///',
      'file://host/dir',
      'file:///dir?region=x',
      'file:///dir#x',
      'file:///%zz',
      'file:///%00',
    ],
    ...[
      's3://key:secret@my-bucket',
      's3://secret@my-bucket',
      's3://My_Bucket',
      's3://ab',
      's3://my-bucket:80',
    ],
    ...[
      's3://my-bucket/a//b',
      's3://my-bucket/a/%2E%2E/b',
      's3://my-bucket/a/..',
      's3://my-bucket/./a?region=a',
      'file:///a/.%2e/b',
      's3://my-bucket/%zz',
      's3://my-bucket/.temporary',
    ],
    ...[
      's3://my-bucket#secret',
      's3://my-bucket?acl=secret',
      's3://my-bucket?region=EU',
      's3://my-bucket?region=',
    ],
    ...[
      's3://my-bucket?region=a&region=b',
      's3://my-bucket?path-style=yes',
      's3://my-bucket?endpoint=host:9000',
    ],
    's3://my-bucket?endpoint=http://key:secret@host',
    ...[
      's3://my-bucket?endpoint=http://host/path',
      's3://my-bucket?endpoint=ftp://host',
      's3://my-bucket?endpoint=',
    ],
  ];
  for (const text of refused) {
    let error: unknown;
    try {
      parseObjectLocation(text);
    } catch (reason) {
      error = reason;
    }
    expect(error, text).toBeInstanceOf(BadRequestError);
    expect(error, text).toMatchObject({ code: 'BAD_OBJECT_LOCATION' });
    expect(String(error)).not.toContain('secret');
  }
});
