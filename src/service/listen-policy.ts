import { VarveError } from '../base/errors.ts';
import { formatAddress } from '../io/format-address.ts';

/** A host and a port; port 0 takes a free one. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** Only who is on this machine can connect. */
export function isLoopback({ host }: TcpAddress): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Refuses to let in everybody in a network, unless that is asked for by name.
 * @param keyOption the option that would make this door ask for tokens
 * @throws VarveError ‘precondition’ / INSECURE_LISTEN
 */
export function checkListen(address: TcpAddress, hasTokenKeys: boolean, keyOption: string): void {
  if (hasTokenKeys || isLoopback(address)) return;
  throw new VarveError(
    'precondition',
    'INSECURE_LISTEN',
    `everybody who can reach ${formatAddress(address)} could read and change all data: give ${keyOption}, ` +
      'listen on 127.0.0.1, or say --insecure-listen if the network lets in nobody else',
  );
}
