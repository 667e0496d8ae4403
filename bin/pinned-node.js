// Finds the Node.js that npm has installed beside Varve, and hands the process over to a program that it runs. Plain
// JavaScript for any Node.js since 18.
'use strict';

const childProcess = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGQUIT'];

/** The package that holds the Node.js of this platform. */
exports.packageName = `node-${process.platform}-${process.arch}`;

/** Its path, or undefined where that package is not installed. */
exports.findNode = () => {
  try {
    // Not by node_modules/.bin/node: npm 10 does not link it where two optional packages have a `bin` of that name.
    const manifest = require.resolve(`${exports.packageName}/package.json`);
    const node = path.join(path.dirname(manifest), 'bin', 'node');
    return fs.existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
};

/**
 * Runs a program in place of this process: with its input and output, the signals that it gets, and its end.
 * @param fail called with an Error where the program cannot be started
 */
exports.handOver = (program, args, env, fail) => {
  const child = childProcess.spawn(program, args, { env, stdio: 'inherit' });
  // What the terminal sends goes to both processes already.
  const isFromTerminal = (signal) =>
    (signal === 'SIGINT' || signal === 'SIGQUIT') && process.stdin.isTTY === true;
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      if (!isFromTerminal(signal)) child.kill(signal);
    });
  }
  child.on('error', fail);
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded);
    process.kill(process.pid, signal);
  });
};
