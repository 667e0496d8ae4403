import type { BackendMessage } from '../../postgres/wire/backend-messages.ts';
import type { FrontendMessage } from '../../postgres/wire/frontend-messages.ts';
import { CommandError, SQLSTATE_FEATURE_NOT_SUPPORTED } from '../../postgres/wire/wire-error.ts';

/** errcodes.txt */
const SQLSTATE_UNDEFINED_PREPARED_STATEMENT = '26000';
const SQLSTATE_UNDEFINED_PORTAL = '34000';

const KINDS = ['Parse', 'Bind', 'Describe', 'Close', 'Execute', 'Flush'] as const;
type ExtendedMessage = Extract<FrontendMessage, { kind: (typeof KINDS)[number] }>;

export function isExtended(message: FrontendMessage): message is ExtendedMessage {
  return (KINDS as readonly string[]).includes(message.kind);
}

/**
 * As much of the extended protocol as lets drivers send commands that way: one statement and one portal, both unnamed,
 * without parameters.
 */
export class ExtendedQuery {
  #statement: string | undefined;
  #portal: string | undefined;

  /**
   * What a message is answered with, or which command it runs. Flush has no answer: nothing here waits to be flushed.
   * @throws CommandError for what is not served
   */
  take(message: ExtendedMessage): { answer: BackendMessage[] } | { execute: string } {
    switch (message.kind) {
      case 'Parse':
        refuseName(message.statement);
        if (message.parameterTypeOids.length > 0) throw unsupported('parameters of a statement are');
        this.#statement = message.query;
        return { answer: [{ kind: 'ParseComplete' }] };
      case 'Bind':
        refuseName(message.statement);
        refuseName(message.portal);
        if (message.parameters.length > 0) throw unsupported('parameters of a statement are');
        if (message.resultFormats.includes('binary')) throw unsupported('a result in binary format is');
        this.#portal = this.#needStatement();
        return { answer: [{ kind: 'BindComplete' }] };
      case 'Describe':
        refuseName(message.name);
        // What a command returns is known only when it has run.
        if (message.target === 'portal') {
          this.#needPortal();
          return { answer: [{ kind: 'NoData' }] };
        }
        this.#needStatement();
        return { answer: [{ kind: 'ParameterDescription', typeOids: [] }, { kind: 'NoData' }] };
      case 'Close':
        if (message.name === '' && message.target === 'statement') this.#statement = undefined;
        if (message.name === '') this.#portal = undefined;
        return { answer: [{ kind: 'CloseComplete' }] };
      case 'Execute':
        refuseName(message.portal);
        if (message.rowsMax !== 0) throw unsupported('a limit of rows is');
        return { execute: this.#needPortal() };
      case 'Flush':
        return { answer: [] };
    }
  }

  #needStatement(): string {
    if (this.#statement !== undefined) return this.#statement;
    throw new CommandError(
      'NO_STATEMENT',
      'no statement has been prepared',
      SQLSTATE_UNDEFINED_PREPARED_STATEMENT,
    );
  }

  #needPortal(): string {
    if (this.#portal !== undefined) return this.#portal;
    throw new CommandError('NO_PORTAL', 'no statement has been bound', SQLSTATE_UNDEFINED_PORTAL);
  }
}

function refuseName(name: string): void {
  if (name !== '') throw unsupported('a statement or portal with a name is');
}

function unsupported(what: string): CommandError {
  return new CommandError('UNSUPPORTED', `${what} not supported here`, SQLSTATE_FEATURE_NOT_SUPPORTED);
}
