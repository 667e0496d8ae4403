// Compiles wasm/crc32c.ts (AssemblyScript) and writes it, as base64, into src/base/crc32c-wasm.ts, so that the
// sources stay free of file reading. With --check it only compares, and fails if the committed file is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const asc = (await import('assemblyscript/asc')).default;

const target = fileURLToPath(new URL('../src/base/crc32c-wasm.ts', import.meta.url));
const source = readFileSync(fileURLToPath(new URL('../wasm/crc32c.ts', import.meta.url)), 'utf8');

let binary: Uint8Array | undefined;
const result = await asc.main(
  [
    'crc32c.ts',
    '--runtime',
    'stub',
    '--importMemory',
    '--noAssert',
    '-O3',
    '--converge',
    '--outFile',
    'out.wasm',
  ],
  {
    readFile: (name: string) => (name === 'crc32c.ts' ? source : null),
    writeFile: (name: string, contents: string | Uint8Array) => {
      if (name === 'out.wasm' && typeof contents !== 'string') binary = contents;
    },
  },
);
if (result.error !== null || binary === undefined) {
  console.error(result.stderr.toString());
  throw new Error('wasm/crc32c.ts does not compile', { cause: result.error });
}
const lines =
  Buffer.from(binary)
    .toString('base64')
    .match(/.{1,100}/g) ?? [];
const text = `// Made by tools/build-wasm.ts from wasm/crc32c.ts; \`npm run check\` compares.
export const crc32cWasmBase64: string = [
${lines.map((line) => `  '${line}',`).join('\n')}
].join('');
`;
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error(
      'src/base/crc32c-wasm.ts is not what wasm/crc32c.ts compiles to: run `node tools/build-wasm.ts`',
    );
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, text);
  console.log(`${target}: ${binary.length} bytes of WebAssembly`);
}
