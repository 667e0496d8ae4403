import type { BigEndianReader, BigEndianWriter } from '../base/big-endian.ts';
import { BadRequestError, CorruptionError } from '../base/errors.ts';
import {
  checkMembership,
  MEMBERS_MAX,
  type MembershipConfiguration,
  type SafekeeperAddress,
} from './membership.ts';

function writeSet(writer: BigEndianWriter, set: readonly SafekeeperAddress[]): void {
  writer.u32(set.length);
  for (const { id, host, pgPort } of set) writer.u64(id).cString(host).u16(pgPort);
}

function readSet(reader: BigEndianReader): SafekeeperAddress[] {
  const count = reader.u32();
  if (count > MEMBERS_MAX) reader.fail(`a set has ${count} members, ${MEMBERS_MAX} at most are allowed`);
  const set: SafekeeperAddress[] = [];
  for (let index = 0; index < count; index++) {
    set.push({ id: reader.u64(), host: reader.cString(), pgPort: reader.u16() });
  }
  return set;
}

/** Generation u32; members; new members, none of which means that the configuration is not joint. */
export function writeMembership(writer: BigEndianWriter, configuration: MembershipConfiguration): void {
  writer.u32(configuration.generation);
  writeSet(writer, configuration.members);
  writeSet(writer, configuration.newMembers ?? []);
}

/** @throws CorruptionError for a configuration that `checkMembership` refuses. */
export function readMembership(reader: BigEndianReader): MembershipConfiguration {
  const generation = reader.u32();
  const members = readSet(reader);
  const newMembers = readSet(reader);
  const configuration = { generation, members, newMembers: newMembers.length === 0 ? undefined : newMembers };
  try {
    checkMembership(configuration);
  } catch (error) {
    if (!(error instanceof BadRequestError)) throw error;
    throw new CorruptionError('BAD_MESSAGE', error.reason, {}, error);
  }
  return configuration;
}
