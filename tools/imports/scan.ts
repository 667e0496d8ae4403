import { parseSync } from 'oxc-parser';

export interface Import {
  /** What stands between the quotes; undefined for an `import()` of an expression. */
  readonly target: string | undefined;
  /** The exported names that are taken, without types. `*` for the whole module. */
  readonly names: readonly string[];
  readonly line: number;
}

export interface GlobalUse {
  /**
   * `name`, or `name.property` where a property is read from it by name. `Date.*` and `Math.*` where the object goes
   * on under another name.
   */
  readonly name: string;
  readonly line: number;
}

export interface ScannedFile {
  readonly path: string;
  readonly imports: readonly Import[];
  readonly globals: readonly GlobalUse[];
  /** Names of the functions, methods, classes, types and constants that it declares, at any depth. */
  readonly declared: readonly string[];
  readonly syntaxErrors: readonly string[];
}

interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

/** Reads out of a source file what the import rules are about: imports (of types, too) and uses of globals. */
export function scanSource(path: string, text: string): ScannedFile {
  const { program, module, errors } = parseSync(path, text);
  const lineOf = lineCounter(text);
  const walker = new Walker(lineOf);
  walker.visit(program as unknown as SyntaxNode, undefined, '');

  const imports: Import[] = [...walker.imports];
  for (const found of module.staticImports) {
    const names = found.entries
      .filter((entry) => !entry.isType)
      .map((entry) => (entry.importName.kind === 'Name' ? (entry.importName.name ?? '') : '*'));
    imports.push({ target: found.moduleRequest.value, names, line: lineOf(found.start) });
  }
  for (const found of module.staticExports) {
    for (const entry of found.entries) {
      if (entry.moduleRequest === null) continue;
      const name = entry.importName.kind === 'Name' ? (entry.importName.name ?? '') : '*';
      imports.push({ target: entry.moduleRequest.value, names: [name], line: lineOf(entry.start) });
    }
  }
  return {
    path,
    imports,
    globals: walker.globals,
    declared: walker.declared,
    syntaxErrors: errors.map((error) => error.message),
  };
}

/** What binds names of its own. Declarations with `var` are taken for ones with `let`. */
const SCOPES: ReadonlySet<string> = new Set([
  'Program',
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'BlockStatement',
  'StaticBlock',
  'CatchClause',
  'ForStatement',
  'ForInStatement',
  'ForOfStatement',
  'SwitchStatement',
]);

/** Objects of which one property is the world, and the others are harmless. */
const PARTLY_PURE = ['Date', 'Math'];

interface Scope {
  readonly bound: Set<string>;
  /** Names that are used within, and may mean what the scope or one around it binds. */
  readonly uses: GlobalUse[];
}

class Walker {
  readonly imports: Import[] = [];
  readonly declared: string[] = [];
  #scope: Scope = { bound: new Set(), uses: [] };
  readonly #lineOf: (offset: number) => number;

  constructor(lineOf: (offset: number) => number) {
    this.#lineOf = lineOf;
  }

  /** The uses of names that nothing around them binds. */
  get globals(): readonly GlobalUse[] {
    return this.#scope.uses;
  }

  visit(node: SyntaxNode, parent: SyntaxNode | undefined, key: string): void {
    this.#collect(node, parent, key);
    if (!SCOPES.has(node.type)) {
      this.#visitParts(node);
      return;
    }
    const outer = this.#scope;
    this.#scope = { bound: new Set(), uses: [] };
    if (node.type === 'CatchClause') this.#bind(node['param'], false);
    if (Array.isArray(node['params'])) for (const param of node['params']) this.#bind(param, false);
    this.#visitParts(node);
    const { bound, uses } = this.#scope;
    outer.uses.push(...uses.filter(({ name }) => !bound.has(name.split('.')[0] ?? '')));
    this.#scope = outer;
  }

  #visitParts(node: SyntaxNode): void {
    for (const [name, value] of Object.entries(node)) {
      // What a type speaks of exists only while checking; but the module it is taken from is imported.
      if (isNode(value)) this.visit(value, node, name);
      else if (Array.isArray(value)) for (const item of value) if (isNode(item)) this.visit(item, node, name);
    }
  }

  #collect(node: SyntaxNode, parent: SyntaxNode | undefined, key: string): void {
    switch (node.type) {
      case 'ImportExpression':
      case 'TSImportType': {
        const source = node['source'] as SyntaxNode;
        const target = source.type === 'Literal' ? String(source['value']) : undefined;
        this.imports.push({ target, names: ['*'], line: this.#lineOf(node.start) });
        break;
      }
      case 'TSImportEqualsDeclaration': {
        this.#bind(node['id'], false);
        const reference = node['moduleReference'] as SyntaxNode;
        if (reference.type === 'TSExternalModuleReference') {
          const { value } = reference['expression'] as unknown as { value: string };
          this.imports.push({ target: value, names: ['*'], line: this.#lineOf(node.start) });
        }
        break;
      }
      case 'FunctionDeclaration':
      case 'ClassDeclaration':
        this.#bind(node['id'], true);
        break;
      case 'MethodDefinition':
      case 'PropertyDefinition':
      case 'TSMethodSignature':
      case 'TSPropertySignature':
      case 'Property':
        this.#noteName(node['key']);
        break;
      case 'TSInterfaceDeclaration':
      case 'TSTypeAliasDeclaration':
        this.#noteName(node['id']);
        break;
      case 'VariableDeclarator':
        this.#bind(node['id'], true);
        break;
      case 'ImportSpecifier':
      case 'ImportDefaultSpecifier':
      case 'ImportNamespaceSpecifier':
        this.#bind(node['local'], false);
        break;
      case 'Identifier':
        if (parent !== undefined) this.#collectIdentifier(node, parent, key);
        break;
    }
  }

  #noteName(id: unknown): void {
    if (isNode(id) && typeof id['name'] === 'string') this.declared.push(id['name']);
  }

  /** Adds the names that a pattern binds. */
  #bind(pattern: unknown, isDeclaration: boolean): void {
    if (!isNode(pattern)) return;
    if (pattern.type === 'Identifier') {
      this.#scope.bound.add(pattern['name'] as string);
      if (isDeclaration) this.#noteName(pattern);
      return;
    }
    const inner = [pattern['left'], pattern['argument'], pattern['parameter'], pattern['value']];
    if (pattern.type === 'Property') inner.splice(0, 3);
    for (const list of [pattern['elements'], pattern['properties'], inner]) {
      if (Array.isArray(list)) for (const item of list) this.#bind(item, false);
    }
  }

  #collectIdentifier(node: SyntaxNode, parent: SyntaxNode, key: string): void {
    if (parent.type.startsWith('TS') && key !== 'expression') return;
    const isComputed = parent['computed'] === true;
    if (parent.type === 'MemberExpression' && key === 'property' && !isComputed) return;
    const isKey = key === 'key' && !isComputed;
    if (isKey && ['Property', 'MethodDefinition', 'PropertyDefinition'].includes(parent.type)) return;
    if (parent.type === 'ImportSpecifier' || (parent.type === 'ExportSpecifier' && key !== 'local')) return;

    const name = node['name'] as string;
    this.#use(name, node);
    if (parent.type === 'MemberExpression' && key === 'object') {
      const property = parent['property'] as SyntaxNode;
      const propertyName = isComputed ? property['value'] : property['name'];
      this.#use(`${name}.${String(propertyName)}`, node);
    } else if (PARTLY_PURE.includes(name) && key !== 'callee' && parent.type !== 'BinaryExpression') {
      this.#use(`${name}.*`, node);
    }
    // Date() without new takes no heed of its arguments.
    const isNow =
      parent.type === 'CallExpression' || (parent['arguments'] as unknown[] | undefined)?.length === 0;
    if (key === 'callee' && name === 'Date' && isNow) this.#use('Date.now', node);
  }

  #use(name: string, node: SyntaxNode): void {
    this.#scope.uses.push({ name, line: this.#lineOf(node.start) });
  }
}

/** Gives the line, from 1, of an offset. The lookups may come in any order. */
function lineCounter(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
