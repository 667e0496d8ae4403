// What documents use of curl, where a machine may have none: `-s`, `-H`, `-d`, `-X` and one address.
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    silent: { type: 'boolean', short: 's' },
    header: { type: 'string', short: 'H', multiple: true },
    data: { type: 'string', short: 'd' },
    request: { type: 'string', short: 'X' },
  },
});
const [address] = positionals;
if (address === undefined || positionals.length > 1) throw new Error('curl: one address is wanted');
const headers = (values.header ?? []).map((text) => text.split(/:\s*/, 2) as [string, string]);
const answer = await fetch(address, {
  method: values.request ?? (values.data === undefined ? 'GET' : 'POST'),
  headers,
  ...(values.data === undefined ? {} : { body: values.data }),
});
console.log(await answer.text());
