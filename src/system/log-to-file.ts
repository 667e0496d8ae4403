import type { ServiceContext } from '../io/services.ts';
import { createJsonLogger, type Logger, type LogLevel } from '../observe/log.ts';

/** A logger whose lines go to the log of that name. */
export const logToFile = ({ clock, writeLog }: ServiceContext, name: string, level: LogLevel): Logger =>
  createJsonLogger({ level, clock, destination: { write: (line) => writeLog(name, line) } });
