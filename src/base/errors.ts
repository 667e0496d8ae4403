/**
 * The few kinds of error, by what the caller does about them (DESIGN: "Errors"). HTTP, the wire protocol
 * and the command line each map these kinds in one table of their own.
 */
export type ErrorKind =
  /** Passing: try again later. */
  | 'unavailable'
  /** The request itself is wrong: fix it. */
  | 'bad-request'
  | 'not-found'
  | 'conflict'
  | 'precondition'
  /** Whoever asked has given up, or what was asked is closing. */
  | 'cancelled'
  /** A successor with a higher term or generation has taken over: stop. */
  | 'fenced'
  /** Bytes from a disk, a network or a bucket are not what they must be. */
  | 'corruption'
  /** A bug. Nothing catches it. */
  | 'assertion';

/** Where something happened. Every field is optional; what is known is printed. */
export interface ErrorPlace {
  /** Path of the file, as the reader was told it. */
  readonly file?: string;
  /** Byte offset within the file or buffer. */
  readonly offset?: number;
  /** LSN as a number. */
  readonly lsn?: number;
  /** Resource manager, by name or, if unknown, by number. */
  readonly resourceManager?: string | number;
  /** The record's info byte. */
  readonly info?: number;
  /** Block reference within the record. */
  readonly blockId?: number;
  /** Relation and block as `spc/db/rel_fork blk n`. */
  readonly page?: string;
}

const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(2, '0')}`;

function describePlace(place: ErrorPlace): string {
  const parts: string[] = [];
  if (place.file !== undefined) parts.push(`file ${place.file}`);
  if (place.offset !== undefined) parts.push(`offset ${place.offset}`);
  if (place.lsn !== undefined) {
    const high = Math.floor(place.lsn / 0x1_0000_0000).toString(16);
    const low = (place.lsn % 0x1_0000_0000).toString(16);
    parts.push(`LSN ${`${high}/${low}`.toUpperCase()}`);
  }
  if (place.resourceManager !== undefined) parts.push(`resource manager ${place.resourceManager}`);
  if (place.info !== undefined) parts.push(`info ${hex(place.info)}`);
  if (place.blockId !== undefined) parts.push(`block reference ${place.blockId}`);
  if (place.page !== undefined) parts.push(`page ${place.page}`);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/** The one base class of errors that Varve raises on purpose. `code` is stable, the message is free text. */
export class VarveError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly place: ErrorPlace;
  /** What was wrong, without the place. */
  readonly reason: string;

  constructor(kind: ErrorKind, code: string, reason: string, place: ErrorPlace = {}, cause?: unknown) {
    super(reason + describePlace(place), cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.kind = kind;
    this.code = code;
    this.reason = reason;
    this.place = place;
  }
}

/** Damaged bytes from outside: an expected error that names the place. */
export class CorruptionError extends VarveError {
  constructor(code: string, reason: string, place?: ErrorPlace, cause?: unknown) {
    super('corruption', code, reason, place, cause);
  }
}

/** A request that cannot be carried out as it stands. */
export class BadRequestError extends VarveError {
  constructor(code: string, reason: string, place?: ErrorPlace, cause?: unknown) {
    super('bad-request', code, reason, place, cause);
  }
}

/** A bug of ours. Nothing catches it. */
export class AssertionError extends VarveError {
  constructor(reason: string, place?: ErrorPlace) {
    super('assertion', 'ASSERTION', reason, place);
  }
}

/**
 * A record that no resource manager of this version knows. It is damaged data as far as the caller is
 * concerned, but has a class of its own, since a proposer stops before it sends such a record.
 */
export class UnknownRecordError extends CorruptionError {
  constructor(resourceManager: string | number, info: number, lsn: number) {
    super('UNKNOWN_RECORD', 'no replay is known for this record', { resourceManager, info, lsn });
  }
}
