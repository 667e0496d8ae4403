import { pino } from 'pino';
import type { Clock } from '../io/clock.ts';
import { sanitizeFields, sanitizeText } from './sanitize.ts';

export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * Where a part of the program tells what happens. A message is a constant sentence; what varies goes into the fields,
 * whose names are those of the code. Secrets must not be given; what is named like one, or looks like one, is masked.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each of its lines. */
  child(fields: LogFields): Logger;
}

/** Takes whole lines, each with its line feed. */
export interface LogDestination {
  write(line: string): void;
}

export interface JsonLogOptions {
  readonly level: LogLevel | 'silent';
  readonly clock: Clock;
  readonly destination: LogDestination;
}

/** Logs JSON lines: `{"level":"info","time":"2026-01-01T00:00:00.000Z",…fields,"message":"…"}`. */
export function createJsonLogger({ level, clock, destination }: JsonLogOptions): Logger {
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date(clock.wallMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return new PinoLogger(logger);
}

/** The part of pino's logger that is used. */
interface PinoLike {
  isLevelEnabled(level: string): boolean;
  child(fields: object): PinoLike;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

class PinoLogger implements Logger {
  readonly #pino: PinoLike;

  constructor(logger: PinoLike) {
    this.#pino = logger;
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.#pino.child(sanitizeFields(fields)));
  }

  #log(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (this.#pino.isLevelEnabled(level)) this.#pino[level](sanitizeFields(fields), sanitizeText(message));
  }
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  child: () => silentLogger,
};

function ignore(): void {
  // Nobody listens.
}

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  /** The line's own fields and those of the logger, as they would be written. */
  readonly fields: LogFields;
}

/** Keeps what is logged, by it and its children, in order: for tests. */
export class CollectingLogger implements Logger {
  readonly lines: LogLine[];
  readonly #fields: LogFields;

  constructor(lines: LogLine[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  debug(message: string, fields?: LogFields): void {
    this.#collect('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#collect('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#collect('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#collect('error', message, fields);
  }

  child(fields: LogFields): CollectingLogger {
    return new CollectingLogger(this.lines, { ...this.#fields, ...fields });
  }

  #collect(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.lines.push({
      level,
      message: sanitizeText(message),
      fields: sanitizeFields({ ...this.#fields, ...fields }),
    });
  }
}
