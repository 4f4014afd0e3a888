'use strict';
// Imports in a step. The engine's evaluation knows none of them: import() becomes a call that resolves from the workspace, and a
// declaration at the top an await of it. The parser is the one that node itself has for its REPL.
const name = 'internal/deps/acorn/acorn/dist/acorn';
const CALL = '__sandbox_step__.load';
let acorn;

function parser() {
  if (!acorn) {
    const module = { exports: {} };
    new Function('exports', 'module', process.binding('natives')[name])(module.exports, module);
    acorn = module.exports;
  }
  return acorn;
}

function declaration(node, code) {
  const from = `await ${CALL}(${node.source.raw})`;
  const names = [];
  let all = null;
  for (const one of node.specifiers) {
    if (one.type === 'ImportNamespaceSpecifier') all = one.local.name;
    else if (one.type === 'ImportDefaultSpecifier') names.push(`default: ${one.local.name}`);
    else names.push(`${one.imported.type === 'Literal' ? one.imported.raw : one.imported.name}: ${one.local.name}`);
  }
  if (all) return `const ${all} = ${from}${names.length ? `, { ${names.join(', ')} } = ${all}` : ''};`;
  return names.length ? `const { ${names.join(', ')} } = ${from};` : `${from};`;
}

function walk(node, visit) {
  const rest = [node];
  while (rest.length > 0) {
    const one = rest.pop();
    if (!one || typeof one !== 'object') continue;
    if (Array.isArray(one)) {
      rest.push(...one);
      continue;
    }
    if (typeof one.type === 'string') visit(one);
    for (const key of Object.keys(one)) if (key !== 'value' || one.type !== 'Literal') rest.push(one[key]);
  }
}

function parse(code) {
  for (const sourceType of ['module', 'script']) {
    try {
      return parser().parse(code, { ecmaVersion: 'latest', sourceType, allowAwaitOutsideFunction: true, allowHashBang: true });
    } catch {
      // the engine says it better
    }
  }
  return null;
}

exports.rewrite = (code) => {
  const tree = parse(code);
  if (!tree) return code;
  const changes = [];
  walk(tree, (node) => {
    if (node.type === 'ImportExpression') changes.push([node.start, node.start + 'import'.length, CALL]);
    else if (node.type === 'ImportDeclaration') changes.push([node.start, node.end, declaration(node, code)]);
    else if (node.type === 'MetaProperty' && node.meta.name === 'import') changes.push([node.start, node.end, '__sandbox_step__']);
    else if (node.type === 'ExportNamedDeclaration' && node.declaration) changes.push([node.start, node.declaration.start, '']);
  });
  changes.sort((a, b) => b[0] - a[0]);
  for (const [start, end, text] of changes) {
    // The lines of an error are those of the code.
    const lines = code.slice(start, end).split('\n').length - text.split('\n').length;
    code = code.slice(0, start) + text + '\n'.repeat(Math.max(0, lines)) + code.slice(end);
  }
  return code;
};
