/** What a shared object gives to others, and what it wants of them: sorted, with the version where it has one. */
export interface DynamicSymbols {
  readonly exported: readonly string[];
  readonly needed: readonly string[];
}

const SHT_DYNSYM = 11;
const SHT_GNU_VERNEED = 0x6fff_fffe;
const SHT_GNU_VERSYM = 0x6fff_ffff;
const SHN_UNDEF = 0;
const VERSION_MASK = 0x7fff;

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly count: number;
}

/** Reads a 64-bit little-endian ELF file (elf(5)): its dynamic symbols are all that a loader sees of it. */
export function readDynamicSymbols(bytes: Uint8Array): DynamicSymbols {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(0) !== 0x7f45_4c46 || bytes[4] !== 2 || bytes[5] !== 1)
    throw new Error('this is no 64-bit little-endian ELF file');
  const sections = readSections(view);
  const symbols = sections.find(({ type }) => type === SHT_DYNSYM);
  if (symbols === undefined) throw new Error('this ELF file has no dynamic symbols');
  const names = sections[symbols.link] as Section;
  const versionOf = readVersions(bytes, view, sections);
  const exported: string[] = [];
  const needed: string[] = [];
  for (let index = 1; index * 24 < symbols.size; index++) {
    const at = symbols.offset + index * 24;
    const name = textAt(bytes, names.offset + view.getUint32(at, true));
    const isUndefined = view.getUint16(at + 6, true) === SHN_UNDEF;
    (isUndefined ? needed : exported).push(name + versionOf(index));
  }
  return { exported: exported.sort(), needed: needed.sort() };
}

function readSections(view: DataView): Section[] {
  const offset = Number(view.getBigUint64(40, true));
  const sections: Section[] = [];
  for (let index = 0; index < view.getUint16(60, true); index++) {
    const at = offset + index * view.getUint16(58, true);
    sections.push({
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 24, true)),
      size: Number(view.getBigUint64(at + 32, true)),
      link: view.getUint32(at + 40, true),
      count: view.getUint32(at + 44, true),
    });
  }
  return sections;
}

function readVersions(
  bytes: Uint8Array,
  view: DataView,
  sections: readonly Section[],
): (symbol: number) => string {
  const versions = sections.find(({ type }) => type === SHT_GNU_VERSYM);
  const needs = sections.find(({ type }) => type === SHT_GNU_VERNEED);
  const names = new Map<number, string>();
  if (needs !== undefined) {
    const strings = sections[needs.link] as Section;
    for (let entry = 0, at = needs.offset; entry < needs.count; entry++) {
      let aux = at + view.getUint32(at + 8, true);
      for (let index = 0; index < view.getUint16(at + 2, true); index++) {
        const name = textAt(bytes, strings.offset + view.getUint32(aux + 8, true));
        names.set(view.getUint16(aux + 6, true), `@${name}`);
        aux += view.getUint32(aux + 12, true);
      }
      at += view.getUint32(at + 12, true);
    }
  }
  return (symbol) => {
    if (versions === undefined) return '';
    return names.get(view.getUint16(versions.offset + symbol * 2, true) & VERSION_MASK) ?? '';
  };
}

function textAt(bytes: Uint8Array, offset: number): string {
  return new TextDecoder().decode(bytes.subarray(offset, bytes.indexOf(0, offset)));
}
