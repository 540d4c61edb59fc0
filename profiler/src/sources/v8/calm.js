/*
 * Is this a good moment to change something? What is evaluated over the inspector interrupts whatever runs, Node.js's own code in the midst of
 * its book-keeping too. Whoever asks it for a tick or a timer then can undo what it is about to write: its ticks stand still for ever after. So
 * what does such things waits until nothing runs, or code of the process's own, which may ask for them itself.
 *
 * One expression, a function.
 */
() => {
  if (globalThis.process?.versions?.deno) return true;
  const { stackTraceLimit, prepareStackTrace } = Error;
  const isReplaced = typeof prepareStackTrace === 'function';
  let text = '';
  try {
    if (isReplaced) Error.prepareStackTrace = undefined;
    Error.stackTraceLimit = 20;
    text = String(new Error('').stack);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    if (isReplaced) Error.prepareStackTrace = prepareStackTrace;
  }
  for (const line of text.split('\n')) {
    const [, file] = /^\s*at (?:.* \()?(?:file:\/\/)?([^()]*):\d+:\d+\)?$/.exec(line) ?? [];
    // What lies behind an `await` is not on the stack; our own code has no file.
    if (/^\s*at async /.test(line)) return true;
    if (file && file !== '<anonymous>') return !file.startsWith('node:');
  }
  return true;
}
