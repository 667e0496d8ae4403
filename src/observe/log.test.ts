import { expect, test } from 'vitest';
import { BadRequestError, VarveError } from '../base/errors.ts';
import { nodeClock } from '../io/node/clock.ts';
import { CollectingLogger, createJsonLogger, type JsonLogOptions, type Logger } from './log.ts';

const clock = { ...nodeClock, wallMs: () => 1_700_000_000_000 };

function jsonLogger(level: JsonLogOptions['level']): { logger: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  return { logger: createJsonLogger({ level, clock, destination }), lines };
}

test('a line is JSON with the level, the time of the clock door, all fields and the message', () => {
  const { logger, lines } = jsonLogger('debug');
  logger.child({ tenantId: 'a' }).child({ timelineId: 'b' }).warn('it is slow', { durationMs: 5, term: 7n });
  expect(lines).toEqual([
    {
      level: 'warn',
      time: '2023-11-14T22:13:20.000Z',
      tenantId: 'a',
      timelineId: 'b',
      durationMs: 5,
      term: '7',
      message: 'it is slow',
    },
  ]);
});

test.each([
  ['debug', ['debug', 'info', 'warn', 'error']],
  ['info', ['info', 'warn', 'error']],
  ['warn', ['warn', 'error']],
  ['error', ['error']],
  ['silent', []],
] as const)('level %s lets through %j', (level, expected) => {
  const { logger, lines } = jsonLogger(level);
  for (const name of ['debug', 'info', 'warn', 'error'] as const) logger[name]('x');
  expect(lines.map((line) => line['level'])).toEqual(expected);
});

const token = 'eyJhbGciOiJFZERTQSJ9.eyJzY29wZSI6InRlbmFudCJ9.c2lnbmF0dXJl-_';

test.each([
  ['a field named like it', { password: 'hunter2' }],
  ['a field within a field', { options: { auth: { access_key: 'hunter2' } } }],
  ['a field of a list', { peers: [{ peerToken: 'hunter2' }] }],
  ['a header', { headers: { Authorization: 'Bearer hunter2' } }],
  ['a connection string', { connection: 'postgres://cloud:hunter2@localhost/db' }],
  ['a connection string with an odd password', { connection: 'postgres://cloud:x@y@hunter2@localhost/db' }],
  ['a connection string of keywords', { connection: "host=x password='hunter2' user=y" }],
  ['an error', { error: new Error('cannot connect to postgres://cloud:hunter2@localhost/db') }],
  ['a token anywhere', { note: `got ${token} here` }],
])('secrets are masked in %s', (_, fields) => {
  const { logger, lines } = jsonLogger('info');
  logger.info('x', fields);
  logger.child(fields).info('y');
  const text = JSON.stringify(lines);
  expect(text).not.toMatch(/hunter2|c2lnbmF0dXJl/);
  for (const line of lines) expect(JSON.stringify(line)).toContain('[masked]');
});

test('secrets are masked in the message', () => {
  const logger = new CollectingLogger();
  logger.info(`token ${token}`);
  expect(logger.lines[0]?.message).toBe('token [masked]');
});

test('errors show kind, code, place and cause; only a bug shows where it was made', () => {
  const logger = new CollectingLogger();
  const cause = new VarveError('unavailable', 'FILE_IO', 'the disk is full', { file: '/x' });
  logger.error('x', { error: new BadRequestError('BAD_LSN', 'no LSN', { lsn: 16 }, cause) });
  logger.error('x', { error: new TypeError('a bug') });
  const [expected, bug] = logger.lines.map(({ fields }) => fields['error'] as Record<string, unknown>);
  expect(expected).toEqual({
    name: 'BadRequestError',
    kind: 'bad-request',
    code: 'BAD_LSN',
    place: { lsn: 16 },
    message: 'no LSN (LSN 0/10)',
    cause: {
      name: 'VarveError',
      kind: 'unavailable',
      code: 'FILE_IO',
      place: { file: '/x' },
      message: 'the disk is full (file /x)',
    },
  });
  expect(bug?.['stack']).toContain('log.test.ts');
});

test('what refers to itself, is deep, long or no value is cut', () => {
  const circle: Record<string, unknown> = {};
  circle['circle'] = circle;
  const logger = new CollectingLogger();
  logger.info('x', { circle, long: 'x'.repeat(10_000), bytes: new Uint8Array(9), run: () => 1 });
  const { fields } = logger.lines[0] as { fields: Record<string, unknown> };
  expect(JSON.stringify(fields).length).toBeLessThan(9000);
  expect(fields).toMatchObject({ bytes: '9 bytes', run: 'function' });
});

test.each(['a-', 'eyJ-', 'a://', 'a://b:', 'password=', 'eyJa.eyJa.'])(
  'a text made of %s is looked through in no time',
  (piece) => {
    const logger = new CollectingLogger();
    const startMs = nodeClock.monotonicMs();
    logger.info(piece.repeat(100_000));
    expect(nodeClock.monotonicMs() - startMs).toBeLessThan(200);
  },
);
