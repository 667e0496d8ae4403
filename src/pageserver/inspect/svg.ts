/** Text of an SVG document, element by element. */

export type SvgAttributes = Readonly<Record<string, string | number>>;

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => ESCAPES[character] as string);

const round = (value: number): string => String(Math.round(value * 100) / 100);

function attributesText(attributes: SvgAttributes): string {
  let text = '';
  for (const [name, value] of Object.entries(attributes)) {
    text += ` ${name}="${typeof value === 'number' ? round(value) : escapeXml(value)}"`;
  }
  return text;
}

/** An element that holds `content`, which is SVG already. */
export function element(name: string, attributes: SvgAttributes, content = ''): string {
  const begin = `<${name}${attributesText(attributes)}`;
  return content === '' ? `${begin}/>` : `${begin}>${content}</${name}>`;
}

/** A line of text. @param x where it begins, or as `text-anchor` says */
export function textElement(text: string, x: number, y: number, attributes: SvgAttributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeXml(text));
}

export function lineElement(
  x1: number,
  y1: number,
  x2: number,
  y2: number,
  attributes: SvgAttributes,
): string {
  return element('line', { x1, y1, x2, y2, ...attributes });
}
