import type { PageServiceOptions } from '../page-client/connect-page-service.ts';
import type { ComputeOptions } from './options.ts';
import { PROPOSER_NAME } from './setting-rules.ts';

const MODES = { primary: 'primary', 'read-only': 'static', standby: 'replica' } as const;
const CONNECT_TIMEOUT_MS = 10_000;

/** How a compute connects to its pageserver. */
export function pageServiceOptions(
  { pageserver, mode }: Pick<ComputeOptions, 'pageserver' | 'mode'>,
  signal: AbortSignal,
): PageServiceOptions {
  const { address, token, tls } = pageserver;
  return {
    address,
    applicationName: PROPOSER_NAME,
    computeMode: MODES[mode.kind],
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    signal,
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined ? {} : { tls }),
  };
}
