// `varve pageserver` and `varve dev timeline create`, as processes.
import { once } from 'node:events';
import { readFileSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { parseLsn } from '../../src/base/lsn.ts';
import { LATEST } from '../../src/contracts/page-messages.ts';
import { wholeTenant } from '../../src/contracts/tenant-shard-id.ts';
import type { TokenClaims } from '../../src/contracts/token.ts';
import type { HttpClientOptions } from '../../src/http/http-client.ts';
import { PageserverClient } from '../../src/http/pageserver-client.ts';
import type { TokenSigner } from '../../src/http/token-signer.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import type { ServerTrust } from '../../src/io/sockets.ts';
import { connectPageService } from '../../src/page-client/connect-page-service.ts';
import { copyFromPageService } from '../../src/page-client/page-commands.ts';
import { PageStream } from '../../src/page-client/page-stream.ts';
import { makeTokenKeys } from '../safekeeper/running-safekeeper.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import { PAGE_SERVICE_DOORS, pageServiceOptions } from '../support/page-service-source.ts';
import { runVarve, runVarveJson } from '../support/varve-command.ts';
import { VarveFamily, type VarveProcess } from '../support/varve-process.ts';

const LOCAL = '127.0.0.1:0';
const POLL = { timeout: 10_000, interval: 5 };
const TENANT = parseTenantId('1'.repeat(32));
const OTHER_TENANT = parseTenantId('4'.repeat(32));
const TIMELINE = parseTimelineId('2'.repeat(32));
const KEY = { tenantId: TENANT, timelineId: TIMELINE };

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Ready {
  readonly id: number;
  readonly directory: string;
  readonly pg: Address;
  readonly http: Address;
}

interface Made {
  readonly tenantId: string;
  readonly timelineId: string;
  readonly lsn: string;
}

const signal = (): AbortSignal => AbortSignal.timeout(15_000);
const http = nodeHttp((error) => {
  throw error;
});

let family: VarveFamily;
let root: string;
let directory: string;
let count = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'varve-command-'));
  family = new VarveFamily(root);
});
afterAll(async () => {
  await family?.[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const running: VarveProcess[] = [];
beforeEach(() => {
  directory = join(root, `pageserver-${++count}`);
});
afterEach(async () => {
  for (const each of running.splice(0)) await each.kill('SIGKILL');
});

const argumentsFor = (id: number, dir: string, ...more: string[]): string[] => [
  ...['pageserver', '--id', String(id), '--dir', dir],
  ...['--listen-pg', LOCAL, '--listen-http', LOCAL, ...more],
];

interface Running {
  readonly process: VarveProcess;
  readonly ready: Ready;
}

async function start(...args: string[]): Promise<Running> {
  const process = family.start(args);
  running.push(process);
  return { process, ready: await process.line<Ready>() };
}

function clientOf({ ready }: Running, more: Partial<HttpClientOptions> = {}): PageserverClient {
  return new PageserverClient({
    http,
    clock: nodeClock,
    baseUrl: `http://127.0.0.1:${ready.http.port}`,
    ...more,
  });
}

/** What a start that fails prints. */
async function refusal(
  ...args: string[]
): Promise<{ status: number | null; code: unknown; message: string }> {
  const { code: status, values, error } = await runVarveJson(...args, '--log-level', 'silent');
  expect(values).toEqual([]);
  return { status, code: error?.['code'], message: String(error?.['message']) };
}

describe('a start', () => {
  test('says where it serves, serves there, and SIGTERM ends it in order', async () => {
    const pageserver = await start(...argumentsFor(7, directory));
    const { pg, http: httpAddress } = pageserver.ready;
    expect(pageserver.ready).toEqual({ id: 7, directory, pg, http: httpAddress });
    expect([pg.host, httpAddress.host]).toEqual(['127.0.0.1', '127.0.0.1']);
    expect(new Set([pg.port, httpAddress.port, 0]).size).toBe(3);
    expect(await clientOf(pageserver).status(signal())).toEqual({ id: 7 });
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
    const { log } = pageserver.process;
    expect(log.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        'the pageserver serves',
        'the pageserver closes',
        'the pageserver has closed',
        'no safekeepers are named: no WAL is taken in, and what is there is served',
      ]),
    );
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
    const again = await start(...argumentsFor(7, directory));
    expect(await again.process.kill('SIGINT')).toBe(0);
  });

  test('--help says what there is', async () => {
    const { code, out, error } = await runVarve('pageserver', '--help');
    expect([code, error]).toEqual([0, '']);
    expect(out).toContain('run a pageserver');
    expect(out).toContain('docs/pageserver.md');
  });

  test('a directory is for one process, whatever it is called, and for one pageserver', async () => {
    const pageserver = await start(...argumentsFor(1, directory));
    const link = `${directory}-link`;
    symlinkSync(directory, link);
    expect(await refusal(...argumentsFor(1, link))).toMatchObject({ status: 4, code: 'DIRECTORY_IN_USE' });
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
    expect(await refusal(...argumentsFor(2, directory))).toMatchObject({ status: 5, code: 'WRONG_NODE' });
  });

  test.each(['--listen-pg', '--listen-http'])(
    'the port of %s that is taken is a conflict, and the directory is free again',
    async (door) => {
      const other = createServer();
      other.listen(0, '127.0.0.1');
      await once(other, 'listening');
      try {
        const { port } = other.address() as { port: number };
        const taken = await refusal(...argumentsFor(1, directory, door, `127.0.0.1:${port}`));
        expect(taken).toMatchObject({ status: 4, code: 'ADDRESS_IN_USE' });
      } finally {
        other.close();
      }
      const pageserver = await start(...argumentsFor(1, directory));
      expect(await pageserver.process.kill('SIGTERM')).toBe(0);
    },
  );

  test.each([
    ['--listen-pg', '--pg-auth-public-key-path'],
    ['--listen-http', '--http-auth-public-key-path'],
  ])('without tokens %s is for this machine only, unless that is said by name', async (door, keys) => {
    const refused = await refusal(...argumentsFor(1, directory, door, '0.0.0.0:0'));
    expect(refused).toMatchObject({ status: 5, code: 'INSECURE_LISTEN' });
    expect(refused.message).toContain(keys);
    const pageserver = await start(...argumentsFor(1, directory, door, '0.0.0.0:0', '--insecure-listen'));
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
  });

  test('a second signal ends it at once', async () => {
    const pageserver = await start(...argumentsFor(1, directory));
    const hanging = await beginRequest(pageserver.ready.http.port);
    pageserver.process.signal('SIGTERM');
    await expect
      .poll(() => pageserver.process.log.some(({ message }) => message === 'the pageserver closes'), POLL)
      .toBe(true);
    expect(await pageserver.process.kill('SIGTERM')).toBe(143);
    hanging.destroy();
  });

  test.each([
    [['--id', '0'], 'begin with 1'],
    [['--listen-pg', 'here'], 'Write HOST:PORT'],
    [['--listen-http', '127.0.0.1:65536'], 'Write HOST:PORT'],
    [['--safekeepers', '127.0.0.1:5454'], 'Write ID=HOST:PORT'],
    [['--safekeepers', '0=127.0.0.1:5454'], 'begin with 1'],
    [['--safekeepers', '1=a:1,1=b:1'], 'names a safekeeper twice'],
    [['--s3', 'http://bucket'], '--s3'],
    [['--tls-cert', 'a.pem'], 'go together'],
    [['--tls-key', 'a.pem'], 'go together'],
    [['--page-cache-size', '5'], 'with its unit'],
    [['--block-cache-size', '999999999GB'], 'The most is'],
    [['--background-jobs', '0'], 'At least 1'],
    [['--io-engine', 'fast'], 'portable'],
    [['--log-level', 'loud'], 'silent'],
    [['--no-such-option'], 'unknown option'],
  ])('%j is an error of usage', async (args, reason) => {
    const { code, out, error } = await runVarve(...argumentsFor(1, directory, ...args));
    expect([code, out]).toEqual([2, '']);
    expect(error).toContain(reason);
  });

  test('what it needs has to be said', async () => {
    for (const left of ['--id', '--dir', '--listen-pg', '--listen-http']) {
      const args = argumentsFor(1, directory);
      args.splice(args.indexOf(left), 2);
      const { code, error } = await runVarve(...args);
      expect([code, error]).toEqual([2, expect.stringContaining(left)]);
    }
  });

  test('the page for users has every option', async () => {
    const page = readFileSync(new URL('../../docs/pageserver.md', import.meta.url), 'utf8');
    for (const command of [['pageserver'], ['dev', 'timeline', 'create']]) {
      const { out } = await runVarve(...command, '--help');
      const options = [...out.matchAll(/^ {2}(--[a-z0-9-]+)/gm)].map(([, option]) => option as string);
      expect(options.length).toBeGreaterThan(6);
      const isOfPageserver = command.length === 1;
      // A command that is shown by an example has its main options there.
      const missing = options.filter((option) => !page.includes(isOfPageserver ? `\`${option}` : option));
      expect(missing.filter((option) => isOfPageserver || option !== '--pg-version')).toEqual([]);
    }
  });
});

describe('doors', () => {
  let signer: TokenSigner;
  let stranger: TokenSigner;
  let keyPath: string;
  beforeAll(async () => {
    const { publicKeyPem, signer: known } = await makeTokenKeys();
    keyPath = join(root, 'tokens.pem');
    await writeFile(keyPath, publicKeyPem);
    signer = known;
    stranger = (await makeTokenKeys()).signer;
  });

  const own: TokenClaims = { scope: 'tenant', tenantId: TENANT };
  const others: TokenClaims = { scope: 'tenant', tenantId: OTHER_TENANT };
  const everything: TokenClaims = { scope: 'pageserverapi' };

  /** What a command at the libpq door is answered with: there are no timelines. */
  async function askForPages(port: number, more: { token?: string; tls?: ServerTrust }): Promise<string> {
    try {
      const connection = await connectPageService(PAGE_SERVICE_DOORS, pageServiceOptions({ port, ...more }));
      try {
        const form = 'primary';
        for await (const _ of copyFromPageService(connection, { kind: 'StartSet', ...KEY, form }));
        return 'served';
      } finally {
        await connection.close();
      }
    } catch (error) {
      return (error as Error).message;
    }
  }

  test('with keys both ask for tokens, and let a tenant to what is its own', async () => {
    const keys = ['--pg-auth-public-key-path', keyPath, '--http-auth-public-key-path', keyPath];
    // With tokens it may listen anywhere.
    const listen = ['--listen-pg', '0.0.0.0:0', '--listen-http', '0.0.0.0:0'];
    const pageserver = await start(...argumentsFor(1, directory, ...keys, ...listen));
    const shard = wholeTenant(TENANT);
    const as = async (claims: TokenClaims, by = signer) =>
      clientOf(pageserver, { token: () => by.sign(claims) });
    expect(await (await as(everything)).listTenants(signal())).toEqual([]);
    await expect((await as(own)).tenant(shard, signal())).rejects.toMatchObject({ code: 'TENANT_NOT_FOUND' });
    for (const refused of [
      (await as(others)).tenant(shard, signal()),
      (await as(own)).listTenants(signal()),
      (await as({ scope: 'safekeeperdata' })).tenant(shard, signal()),
    ]) {
      await expect(refused).rejects.toMatchObject({ kind: 'precondition', code: 'SCOPE_REFUSED' });
    }
    await expect(clientOf(pageserver).tenant(shard, signal())).rejects.toMatchObject({
      code: 'TOKEN_MISSING',
    });
    await expect((await as(everything, stranger)).listTenants(signal())).rejects.toMatchObject({
      code: 'TOKEN_REFUSED',
    });
    expect(await clientOf(pageserver).status(signal())).toEqual({ id: 1 });

    const { port } = pageserver.ready.pg;
    const askAs = async (claims: TokenClaims, by = signer): Promise<string> =>
      await askForPages(port, { token: await by.sign(claims) });
    const missing = `tenant ${TENANT} is not attached`;
    expect(await askAs(own)).toContain(missing);
    expect(await askAs(everything)).toContain(missing);
    expect(await askAs(others)).toMatch(/does not open this/);
    expect(await askAs({ scope: 'safekeeperdata' })).toMatch(/does not open this/);
    expect(await askAs(own, stranger)).toMatch(/JWT authentication error/);
    expect(await askForPages(port, {})).toMatch(/token|password|JWT/);
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
  });

  test('with a certificate both speak TLS, and nothing else', async () => {
    const { certificate, privateKey } = makeSelfSigned(['localhost', '127.0.0.1']);
    const [certificatePath, privateKeyPath] = [join(root, 'cert.pem'), join(root, 'key.pem')];
    await writeFile(certificatePath, certificate);
    await writeFile(privateKeyPath, privateKey, { mode: 0o600 });
    const tls = ['--tls-cert', certificatePath, '--tls-key', privateKeyPath];
    const pageserver = await start(...argumentsFor(1, directory, ...tls));
    const trust = { authorities: certificate, serverName: 'localhost' };
    const { pg, http: httpAddress } = pageserver.ready;
    const baseUrl = `https://127.0.0.1:${httpAddress.port}`;
    expect(await clientOf(pageserver, { baseUrl, trust }).status(signal())).toEqual({ id: 1 });
    await expect(clientOf(pageserver).status(signal())).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await askForPages(pg.port, { tls: trust })).toContain('is not attached');
    expect(await askForPages(pg.port, {})).toMatch(/TLS|SSL/);
    const wrongName = { authorities: certificate, serverName: 'example.org' };
    expect(await askForPages(pg.port, { tls: wrongName })).toMatch(/example\.org/);
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
  });

  test('a timeline is created where all doors speak TLS and ask for tokens', {
    timeout: 60_000,
  }, async () => {
    const { certificate, privateKey } = makeSelfSigned(['127.0.0.1']);
    const fileOf = async (name: string, text: string): Promise<string> => {
      await writeFile(join(root, name), text, { mode: 0o600 });
      return join(root, name);
    };
    const ca = await fileOf('all.pem', certificate);
    const guarded = [
      ...['--tls-cert', ca, '--tls-key', await fileOf('all-key.pem', privateKey), '--tls-ca', ca],
      ...['--pg-auth-public-key-path', keyPath, '--http-auth-public-key-path', keyPath],
    ];
    const ofPageserver = await fileOf('pageserver.jwt', await signer.sign(everything));
    const ofSafekeeper = await fileOf('safekeeper.jwt', await signer.sign({ scope: 'safekeeperdata' }));
    const listen = ['--listen-pg', LOCAL, '--listen-http', LOCAL, ...guarded];
    const { pg, http: skHttp } = (
      await start('safekeeper', '--id', '1', '--dir', `${directory}-safekeeper`, ...listen)
    ).ready;
    const args = [
      ...argumentsFor(1, directory, ...guarded, '--auth-token-path', ofSafekeeper),
      ...['--safekeepers', `1=127.0.0.1:${pg.port}`],
    ];
    const pageserver = await start(...args);
    const baseUrl = `https://127.0.0.1:${pageserver.ready.http.port}`;
    const create = (...more: string[]) =>
      runVarveJson<Made>(
        ...['dev', 'timeline', 'create', '--pageserver', baseUrl, '--tenant', TENANT, '--timeline', TIMELINE],
        ...['--safekeepers', `1=127.0.0.1:${pg.port}/${skHttp.port}`, ...more],
      );
    const tokens = ['--auth-token-path', ofPageserver, '--safekeeper-auth-token-path', ofSafekeeper];
    expect(await create(...tokens)).toMatchObject({ code: 2, error: { code: 'TLS_FAILED' } });
    expect(await create('--tls-ca', ca)).toMatchObject({ code: 5, error: { code: 'TOKEN_MISSING' } });
    expect(await create('--tls-ca', ca, ...tokens)).toMatchObject({ code: 0, values: [KEY] });
    // A pageserver that starts tells the safekeeper what the bucket has: it has to be let in as well.
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
    const again = await start(...args);
    const client = clientOf(again, {
      baseUrl: `https://127.0.0.1:${again.ready.http.port}`,
      trust: { authorities: certificate, serverName: '127.0.0.1' },
      token: () => signer.sign(own),
    });
    const key = { tenant_shard_id: wholeTenant(TENANT), timeline_id: TIMELINE };
    const status = async () => (await client.timeline(key, signal())).walreceiver_status;
    await expect.poll(status, POLL).toMatch(/^idle; last from safekeeper 1 /);
  });
});

describe('with a safekeeper', () => {
  let safekeeper: Ready;
  let pageserver: Running;

  const startPageserver = (): Promise<Running> =>
    start(...argumentsFor(1, join(root, 'ps'), '--safekeepers', `1=127.0.0.1:${safekeeper.pg.port}`));
  const create = (...more: string[]) =>
    runVarveJson<Made>(
      ...['dev', 'timeline', 'create', '--pageserver', `http://127.0.0.1:${pageserver.ready.http.port}`],
      ...['--safekeepers', `1=127.0.0.1:${safekeeper.pg.port}/${safekeeper.http.port}`, ...more],
    );

  const ids = ['--tenant', TENANT, '--timeline', TIMELINE];
  let first: Awaited<ReturnType<typeof create>>;

  beforeAll(async () => {
    const listen = ['--listen-pg', LOCAL, '--listen-http', LOCAL];
    safekeeper = await family
      .start(['safekeeper', '--id', '1', '--dir', join(root, 'sk'), ...listen])
      .line<Ready>();
    pageserver = await startPageserver();
    first = await create(...ids);
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
  });
  beforeEach(async () => {
    pageserver = await startPageserver();
  });

  test('a timeline that is created twice with the same ids is one timeline', {
    timeout: 60_000,
  }, async () => {
    expect(first).toMatchObject({ code: 0, error: undefined, values: [KEY] });
    expect(await create(...ids)).toEqual(first);
    const key = { tenant_shard_id: wholeTenant(TENANT), timeline_id: TIMELINE };
    const client = clientOf(pageserver);
    const info = await client.timeline(key, signal());
    expect(info.last_record_lsn).toBe(parseLsn(first.values[0]?.lsn ?? ''));
    // The safekeeper may have to be told what the bucket has.
    const status = async () => (await client.timeline(key, signal())).walreceiver_status;
    await expect.poll(status, POLL).toMatch(/^idle/);
    const other = await create();
    expect(other.code).toBe(0);
    expect(other.values[0]?.tenantId).not.toBe(TENANT);
  });

  test('SIGTERM ends it within two seconds while clients are connected that never read', {
    timeout: 60_000,
  }, async () => {
    const life = new AbortController();
    const options = { ...pageServiceOptions({ port: pageserver.ready.pg.port }), signal: life.signal };
    const connectTo = () => connectPageService(PAGE_SERVICE_DOORS, options);
    const stream = await PageStream.open(await connectTo(), KEY, {
      onPage: () => undefined,
      onAnswer: () => undefined,
      onRefused: () => undefined,
      onEnd: () => undefined,
    });
    stream.pause();
    const lsn = parseLsn('0/1000000');
    // Until what is sent is taken no more.
    do {
      for (let count = 0; count < 1000; count++) stream.requestPage(LATEST, lsn, 1664, 0, 1262, 0, 0);
    } while (await isWithin(500, stream.drained(64 * 1024)));
    const backup = copyFromPageService(await connectTo(), { kind: 'FullBackup', ...KEY });
    expect((await backup.next()).done).toBe(false);
    const idle = connect(pageserver.ready.pg.port, '127.0.0.1');
    await once(idle, 'connect');
    const idleHttp = connect(pageserver.ready.http.port, '127.0.0.1');
    await once(idleHttp, 'connect');

    const beganMs = performance.now();
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
    expect(performance.now() - beganMs).toBeLessThan(2000);
    expect(pageserver.process.log.filter(({ level }) => level === 'error')).toEqual([]);
    life.abort();
    await backup.return();
    idle.destroy();
    idleHttp.destroy();
  });

  test('SIGTERM does not wait for requests that do not come to an end', { timeout: 60_000 }, async () => {
    const { port } = pageserver.ready.http;
    const half = await beginRequest(port);
    const profile = fetch(`http://127.0.0.1:${port}/profile/cpu?seconds=60`).catch(() => 'broken off');
    const waiting = clientOf(pageserver)
      .waitLsn(wholeTenant(TENANT), new Map([[TIMELINE, parseLsn('1/0')]]), 60_000, signal())
      .catch((error: { kind: string }) => error.kind);
    // There is one profile at a time.
    const another = async () => (await fetch(`http://127.0.0.1:${port}/profile/heap?seconds=1`)).status;
    await expect.poll(another, POLL).toBe(409);
    const beganMs = performance.now();
    expect(await pageserver.process.kill('SIGTERM')).toBe(0);
    expect(performance.now() - beganMs).toBeLessThan(5000);
    expect(await profile).toBe('broken off');
    expect(await waiting).toBe('cancelled');
    expect(pageserver.process.log.filter(({ level }) => level === 'error')).toEqual([]);
    half.destroy();
  });
});

describe('varve dev timeline create', () => {
  test('without a pageserver it says who does not answer', async () => {
    const port = await freePort();
    const args = ['--pageserver', `http://127.0.0.1:${port}`, '--safekeepers', '1=127.0.0.1:1/1'];
    const { code, values, error } = await runVarveJson('dev', 'timeline', 'create', ...args);
    expect([code, values]).toEqual([6, []]);
    expect(error).toMatchObject({ kind: 'unavailable', code: 'CONNECTION_FAILED' });
    expect(error?.['message']).toContain(`127.0.0.1:${port}`);
  });

  test.each([
    [['--pageserver', '127.0.0.1:9898'], 'Write http://HOST:PORT'],
    [['--pageserver', 'http://127.0.0.1:9898/v1'], 'Write http://HOST:PORT'],
    [['--pageserver', 'http://127.0.0.1:99999'], 'Write http://HOST:PORT'],
    [['--pageserver', 'http://no such host'], 'Write http://HOST:PORT'],
    [['--safekeepers', '1=127.0.0.1:5454'], 'Write ID=HOST:PG-PORT/HTTP-PORT'],
    [['--safekeepers', '1=127.0.0.1:5454/99999'], 'There is no port 99999'],
    [['--safekeepers', '0=127.0.0.1:5454/1'], 'begin with 1'],
    [['--safekeepers', '1=a:1/1,1=b:1/1'], 'names a safekeeper twice'],
    [['--tenant', 'x'], 'Write 32 hexadecimal digits'],
  ])('%j is an error of usage', async (args, reason) => {
    const usual = ['--pageserver', 'http://127.0.0.1:1', '--safekeepers', '1=127.0.0.1:1/1'];
    const { code, error } = await runVarve('dev', 'timeline', 'create', ...usual, ...args);
    expect(code).toBe(2);
    expect(error).toContain(reason);
  });
});

function isWithin(milliseconds: number, happening: Promise<void>): Promise<boolean> {
  const tooLate = new Promise<boolean>((resolve) => {
    nodeClock.setTimer(milliseconds, () => resolve(false));
  });
  return Promise.race([happening.then(() => true), tooLate]);
}

/** A request whose body does not come to an end before the connection does. It is being served. */
async function beginRequest(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const head = `POST /v1/tenant/${TENANT}/timeline HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n`;
  socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n`);
  await once(socket, 'data');
  return socket;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}
