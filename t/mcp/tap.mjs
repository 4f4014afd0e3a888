// The Test Anything Protocol, for programs that official clients run in.
let count = 0;
let failed = 0;

export function ok(good, name, seen) {
  count += 1;
  if (!good) failed += 1;
  console.log(`${good ? 'ok' : 'not ok'} ${count} - ${name}`);
  if (!good && seen !== undefined) console.log(JSON.stringify(seen, null, 1).replace(/^/gm, '# ').slice(0, 4000));
  return good;
}

export const is = (seen, wanted, name) => ok(Object.is(seen, wanted), name, { seen, wanted });
export const like = (seen, pattern, name) => ok(typeof seen === 'string' && pattern.test(seen), name, { seen, pattern: String(pattern) });

// Ends the program; whatever did not come is a failure.
export async function run(body) {
  try {
    await body();
  } catch (e) {
    ok(false, 'the program came to its end', { message: e.message, stack: e.stack, data: e.data });
  }
  console.log(`1..${count}`);
  process.exit(failed === 0 ? 0 : 1);
}
