import { hasQuorum } from '../../../src/contracts/membership.ts';
import { SafetyViolation } from '../checkers/safety-violation.ts';
import type { ModelAcceptor } from './model-acceptor.ts';
import type { Connection, ModelCompute } from './model-compute.ts';
import type { World } from './world.ts';

const ROUNDS_MAX = 120;

/**
 * From here on nothing breaks any more, and one compute is left. It must get to where its WAL is committed, and all
 * safekeepers of its configuration know so.
 * @throws SafetyViolation ‘progress’ where it does not
 */
export function heal(world: World): void {
  for (const model of world.acceptors) if (model.acceptor === undefined) world.restart(model);
  const survivor = world.computes.find(({ isOver, machine }) => !isOver && machine.phase === 'elected');
  for (const compute of world.computes)
    if (compute !== survivor && !compute.isOver) world.stopCompute(compute);
  let compute = survivor ?? world.startCompute(world.controller.current);
  let hasWritten = false;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    runRound(world, compute);
    // What was fenced with reason has a successor.
    if (compute.isOver) {
      compute = world.startCompute(world.controller.current);
      hasWritten = false;
    }
    if (compute.machine.phase === 'elected' && !hasWritten) {
      world.write(compute, true);
      hasWritten = true;
    }
    if (hasWritten && isSettled(world, compute)) return;
  }
  throw new SafetyViolation('progress', `${compute.name} is stuck: ${describe(world, compute)}`);
}

function runRound(world: World, compute: ModelCompute): void {
  for (const model of world.acceptors) finish(world, model);
  const { members, newMembers } = compute.membership;
  for (const { id } of [...members, ...(newMembers ?? [])]) {
    if (!compute.isOver && !compute.connections.has(id)) world.connect(compute, id);
  }
  for (const connection of [...world.connections]) drain(world, connection);
  if (!compute.isOver) world.heartbeat(compute);
  world.observer.observe(world.acceptors);
}

/** Takes all that is on the way over a connection, to its end on either side. */
function drain(world: World, connection: Connection): void {
  const model = world.acceptor(connection.nodeId);
  while (connection.isAccepted && connection.toAcceptor.length > 0) {
    world.receive(connection);
    finish(world, model);
  }
  if (connection.isAccepted && connection.isAnswerDue) world.flush(connection);
  finish(world, model);
  while (connection.isOpen && (connection.toProposer.length > 0 || !connection.isAccepted)) {
    world.deliver(connection);
  }
  world.fetch(connection);
  if (connection.isOpen) world.pump(connection);
}

function finish(world: World, model: ModelAcceptor): void {
  while (model.isBusy) world.stepAcceptor(model);
}

function isSettled(world: World, compute: ModelCompute): boolean {
  const { machine, walEndLsn, membership, isStartCommitted } = compute;
  const { members, newMembers } = membership;
  if (machine.phase !== 'elected' || machine.commitLsn !== walEndLsn || machine.truncateLsn !== walEndLsn)
    return false;
  if (!isStartCommitted || !hasQuorum(membership, (id) => machine.positionOf(id).isStreaming)) return false;
  return [...members, ...(newMembers ?? [])].every(({ id }) => {
    const { acceptor } = world.acceptor(id);
    return acceptor?.commitLsn === walEndLsn && acceptor.term === machine.term;
  });
}

function describe(world: World, compute: ModelCompute): string {
  const { machine, walEndLsn, membership } = compute;
  const states = world.acceptors.map(({ id, acceptor }) =>
    acceptor === undefined
      ? `${id} down`
      : `${id} term ${acceptor.term} flush ${acceptor.flushLsn} commit ${acceptor.commitLsn} generation ${acceptor.membership.generation}`,
  );
  return `${machine.phase}, term ${machine.term}, commit ${machine.commitLsn} of ${walEndLsn}, generation ${membership.generation}; ${states.join('; ')}`;
}
