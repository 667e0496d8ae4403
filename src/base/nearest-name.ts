/** A name that is farther from all others was not mistyped. */
const DISTANCE_MAX = 3;
/** Of the longer of both: more than that is another word. */
const DISTANCE_SHARE_MAX = 0.4;

/** Of several names the one that somebody may have meant who wrote another; undefined where none is near. */
export function findNearestName(written: string, names: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let least = DISTANCE_MAX + 1;
  for (const name of names) {
    const longer = Math.max(name.length, written.length);
    // What is that much longer cannot be near.
    if (Math.abs(name.length - written.length) > DISTANCE_MAX) continue;
    const distance = editDistance(written.toLowerCase(), name.toLowerCase());
    if (distance >= least || distance > longer * DISTANCE_SHARE_MAX) continue;
    least = distance;
    nearest = name;
  }
  return nearest;
}

/** Letters to put in, take out or replace to get from one word to the other (Levenshtein), row by row. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[right.length] as number;
}
