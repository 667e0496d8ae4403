import type { AcceptorMessage } from '../../../src/contracts/acceptor-messages.ts';
import type { ProposerEffect } from '../../../src/proposer/consensus/proposer-effects.ts';
import { ProposerMachine } from '../../../src/proposer/consensus/proposer-machine.ts';

/** Who wants to know what the proposers' machines hear and decide. */
export interface MachineListener {
  heard(machine: ProposerMachine, safekeeperId: number, message: AcceptorMessage): void;
  decided(machine: ProposerMachine, effects: readonly ProposerEffect[]): void;
}

let listener: MachineListener | undefined;
let isInstalled = false;

/**
 * Listens to all machines of this process, until another one listens. The proposer is left as it is: the checkers must
 * know what a machine decides at the moment when it does, which is before anybody else may hear of it.
 */
export function listenToMachines(to: MachineListener | undefined): void {
  listener = to;
  if (isInstalled) return;
  isInstalled = true;
  const { prototype } = ProposerMachine;
  const { connected, received } = prototype;
  prototype.connected = function (id: number): ProposerEffect[] {
    const effects = connected.call(this, id);
    listener?.decided(this, effects);
    return effects;
  };
  prototype.received = function (id: number, message: AcceptorMessage): ProposerEffect[] {
    listener?.heard(this, id, message);
    const effects = received.call(this, id, message);
    listener?.decided(this, effects);
    return effects;
  };
}
