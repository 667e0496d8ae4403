// The part of AssemblyScript's compiler that tools/build-wasm.ts uses. It stands in, by `paths` of tsconfig.json, for
// the types that come with it: those declare the globals of AssemblyScript, such as another `console`, for everything
// that is checked together with them.
interface CompilerApi {
  readFile?(name: string, baseDirectory: string): string | null;
  writeFile?(name: string, contents: string | Uint8Array, baseDirectory: string): void;
}

interface CompilerResult {
  /** Null on success. */
  readonly error: Error | null;
  readonly stderr: { toString(): string };
}

declare const asc: { main(args: readonly string[], api: CompilerApi): Promise<CompilerResult> };
export default asc;
