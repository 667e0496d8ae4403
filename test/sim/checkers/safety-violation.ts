/** A checker has seen what must never be. */
export class SafetyViolation extends Error {
  /** Which rule it was, such as `log-safety`. */
  readonly rule: string;

  constructor(rule: string, what: string) {
    super(`${rule}: ${what}`);
    this.name = 'SafetyViolation';
    this.rule = rule;
  }
}
