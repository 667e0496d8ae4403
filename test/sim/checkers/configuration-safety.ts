import type { MembershipConfiguration } from '../../../src/contracts/membership.ts';
import { SafetyViolation } from './safety-violation.ts';

/** Configuration safety: whoever is in a generation has the same configuration. */
export class ConfigurationSafety {
  readonly #known = new Map<number, string>();

  /** @param who whose configuration it is, for the message */
  observed(who: string, { generation, members, newMembers }: MembershipConfiguration): void {
    if (generation === 0) return;
    const ids = (set: readonly { readonly id: number }[]): string => set.map(({ id }) => id).join(',');
    const text = `${ids(members)}${newMembers === undefined ? '' : ` and ${ids(newMembers)}`}`;
    const known = this.#known.get(generation);
    if (known !== undefined && known !== text) {
      throw new SafetyViolation(
        'configuration-safety',
        `generation ${generation} is ${known}, to ${who} ${text}`,
      );
    }
    this.#known.set(generation, text);
  }
}
