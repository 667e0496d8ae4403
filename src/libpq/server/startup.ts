import { VarveError } from '../../base/errors.ts';
import type { ServerIdentity } from '../../io/sockets.ts';
import { decodePassword } from '../../postgres/wire/authentication-response.ts';
import { type BackendMessage, writeBackendMessage } from '../../postgres/wire/backend-messages.ts';
import { DIRECT_TLS_TAG, type FrameCutterOptions } from '../../postgres/wire/framing.ts';
import { authenticationBodyLimits, decodeFrontendMessage } from '../../postgres/wire/frontend-messages.ts';
import { MessageWriter } from '../../postgres/wire/message-writer.ts';
import { decodeStartupPacket, negotiateProtocol } from '../../postgres/wire/startup.ts';
import {
  CommandError,
  formatTag,
  ProtocolError,
  SQLSTATE_FEATURE_NOT_SUPPORTED,
} from '../../postgres/wire/wire-error.ts';
import type { MessageChannel } from '../message-channel.ts';
import type { SessionStart } from './session.ts';
import { SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION } from './sqlstate.ts';

export interface ServerTls {
  readonly identity: ServerIdentity;
  /** Let clients in that ask for no TLS. */
  readonly allowsPlaintext?: boolean;
}

/** Who is let in. */
export type ServerAuthentication<Identity> =
  | { readonly mode: 'trust'; readonly identity: Identity }
  | {
      readonly mode: 'token';
      /**
       * Whom this token proves. What it rejects with is reported and ends the connection: it should tell a stranger
       * nothing.
       */
      readonly authenticate: (token: string, signal: AbortSignal) => Promise<Identity>;
    };

export interface StartupOptions<Identity> {
  readonly authentication: ServerAuthentication<Identity>;
  readonly tls?: ServerTls;
  /** What the parameter server_version says. Neon's services say 14.1, whatever they store. */
  readonly serverVersion: string;
}

/** What a server expects first: a stranger's packets. */
export const STARTUP_FRAMES: FrameCutterOptions = { limits: authenticationBodyLimits(), form: 'startup' };

type Startup = Extract<ReturnType<typeof decodeStartupPacket>, { kind: 'Startup' }>;

/**
 * From the first byte to where queries may come (backend_startup.c, ProcessStartupPacket; auth.c), except for the first
 * ReadyForQuery.
 * @returns undefined if the client has left, or only wanted to cancel something, which is never possible here
 */
export async function startUp<Identity>(
  channel: MessageChannel,
  options: StartupOptions<Identity>,
  signal: AbortSignal,
): Promise<SessionStart<Identity> | undefined> {
  const started = await negotiate(channel, options.tls, signal);
  if (started === undefined) return undefined;
  const { packet, isSecure } = started;
  const { parameters } = packet;
  const negotiated = negotiateProtocol(packet.protocolVersion, parameters.keys());
  if (negotiated.mustTell) {
    const { protocolVersion, unrecognizedOptions } = negotiated;
    send(channel, [{ kind: 'NegotiateProtocolVersion', protocolVersion, unrecognizedOptions }]);
  }
  const { authentication } = options;
  const proof =
    authentication.mode === 'trust'
      ? authentication
      : await askToken(channel, authentication.authenticate, signal);
  if (proof === undefined) return undefined;
  const messages: BackendMessage[] = [
    { kind: 'Authentication', request: { method: 'Ok' } },
    { kind: 'ParameterStatus', name: 'client_encoding', value: 'UTF8' },
  ];
  if (authentication.mode === 'trust') {
    messages.push(
      { kind: 'ParameterStatus', name: 'integer_datetimes', value: 'on' },
      { kind: 'ParameterStatus', name: 'server_version', value: options.serverVersion },
    );
  }
  send(channel, messages);
  return { parameters, identity: proof.identity, isSecure };
}

async function negotiate(
  channel: MessageChannel,
  tls: ServerTls | undefined,
  signal: AbortSignal,
): Promise<{ packet: Startup; isSecure: boolean } | undefined> {
  let isSecure = false;
  let isFirst = true;
  // Each request for encryption may come once, and none after it was granted.
  const open = new Set(['SslRequest', 'GssEncRequest']);
  while (await channel.next()) {
    const { cutter } = channel;
    if (cutter.tag === DIRECT_TLS_TAG) {
      if (tls === undefined || !isFirst) throw unwantedTls();
      await secure(channel, tls.identity, signal);
      isSecure = true;
      isFirst = false;
      open.clear();
      continue;
    }
    const packet = decodeStartupPacket(cutter.bytes, cutter.bodyOffset, cutter.bodyLength);
    isFirst = false;
    if (packet.kind === 'CancelRequest') return undefined;
    if (packet.kind === 'Startup') {
      if (tls !== undefined && !isSecure && tls.allowsPlaintext !== true) throw mustUseTls();
      cutter.endStartup();
      return { packet, isSecure };
    }
    if (!open.delete(packet.kind)) {
      throw new ProtocolError('UNEXPECTED_MESSAGE', `the ${packet.kind} stands where none may`);
    }
    if (packet.kind === 'GssEncRequest' || tls === undefined) {
      channel.send(Uint8Array.of(0x4e));
      continue;
    }
    channel.refuseRest();
    channel.send(Uint8Array.of(0x53));
    await secure(channel, tls.identity, signal);
    isSecure = true;
    open.clear();
  }
  return undefined;
}

/** After a failed handshake there is nobody whom an error could be told. */
async function secure(channel: MessageChannel, identity: ServerIdentity, signal: AbortSignal): Promise<void> {
  const { connection } = channel;
  const handshake = channel.takeHandshake(STARTUP_FRAMES);
  const close = (): void => connection.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    await (handshake.length === 0
      ? connection.secureAsServer(identity)
      : connection.secureAsServer(identity, handshake));
  } catch (error) {
    if (error instanceof VarveError) channel.fail(error);
    connection.close();
    throw error;
  } finally {
    signal.removeEventListener('abort', close);
  }
}

async function askToken<Identity>(
  channel: MessageChannel,
  authenticate: (token: string, signal: AbortSignal) => Promise<Identity>,
  signal: AbortSignal,
): Promise<{ identity: Identity } | undefined> {
  send(channel, [{ kind: 'Authentication', request: { method: 'CleartextPassword' } }]);
  if (!(await channel.next())) return undefined;
  const { tag, bytes, bodyOffset, bodyLength } = channel.cutter;
  const message = decodeFrontendMessage(tag, bytes, bodyOffset, bodyLength);
  if (message.kind !== 'AuthenticationResponse') {
    throw new ProtocolError('UNEXPECTED_MESSAGE', `message ${formatTag(tag)} stands where a token must`);
  }
  return { identity: await authenticate(decodePassword(message.data), signal) };
}

function send(channel: MessageChannel, messages: readonly BackendMessage[]): void {
  const writer = new MessageWriter();
  for (const message of messages) writeBackendMessage(writer, message);
  channel.send(writer.take());
}

function mustUseTls(): CommandError {
  return new CommandError(
    'MUST_USE_TLS',
    'must connect with TLS',
    SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION,
  );
}

function unwantedTls(): ProtocolError {
  return new ProtocolError(
    'UNEXPECTED_TLS',
    'a TLS handshake comes, and none is possible here',
    undefined,
    SQLSTATE_FEATURE_NOT_SUPPORTED,
  );
}
