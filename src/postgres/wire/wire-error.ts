import { BadRequestError, CorruptionError, type ErrorPlace } from '../../base/errors.ts';

/** SQLSTATEs that the wire protocol itself gives (errcodes.txt). */
export const SQLSTATE_FEATURE_NOT_SUPPORTED = '0A000';
export const SQLSTATE_PROTOCOL_VIOLATION = '08P01';
export const SQLSTATE_CHARACTER_NOT_IN_REPERTOIRE = '22021';
export const SQLSTATE_INVALID_PARAMETER_VALUE = '22023';
export const SQLSTATE_SYNTAX_ERROR = '42601';

/**
 * What the other side sent is not the protocol. The connection is out of step from here on: the error may be reported,
 * but the connection has to be closed.
 */
export class ProtocolError extends CorruptionError {
  readonly sqlState: string;

  constructor(
    code: string,
    reason: string,
    place?: ErrorPlace,
    sqlState: string = SQLSTATE_PROTOCOL_VIOLATION,
  ) {
    super(code, reason, place);
    this.sqlState = sqlState;
  }
}

/** A whole message asks for something that cannot be done as it stands. The connection may go on. */
export class CommandError extends BadRequestError {
  readonly sqlState: string;

  constructor(code: string, reason: string, sqlState: string = SQLSTATE_SYNTAX_ERROR) {
    super(code, reason);
    this.sqlState = sqlState;
  }
}

/** A message's tag as a person reads it: the letter, or the number of a byte that is none. */
export function formatTag(tag: number): string {
  return tag > 0x20 && tag < 0x7f
    ? `"${String.fromCharCode(tag)}"`
    : `0x${tag.toString(16).padStart(2, '0')}`;
}
