/** Runs one scenario, and prints what it failed of; with apply.ts, of a mutant. Fails where the scenario does not. */
import { SCENARIOS } from './scenarios.ts';

/** Whoever hangs has been found, too. No scenario needs as long, but for the one with a thousand connections. */
const HANG_MS = process.argv[2] === 'PS-12 leaks' ? 100_000 : 12_000;

const found = (error: unknown): never => {
  console.log(error instanceof Error ? error.message.split('\n')[0] : String(error));
  process.exit(0);
};
process.on('unhandledRejection', found);
process.on('uncaughtException', found);
setTimeout(() => found('it hangs'), HANG_MS).unref();

try {
  await SCENARIOS[process.argv[2] as keyof typeof SCENARIOS]();
} catch (error) {
  found(error);
}
process.exit(1);
