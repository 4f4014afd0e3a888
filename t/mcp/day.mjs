// A day's work of an agent through the product's nginx, by the official clients: code is run, a session kept, a chart looked at, a long run
// followed, a refusal read. Prints TAP. Usage: day.mjs v1|v2-modern|v2-legacy|v2-auto URL, the tokens in MCP_TOKEN and MCP_TOKEN_NARROW.
import { is, like, ok, run } from './tap.mjs';

const [, , which, url] = process.argv;

async function connect(token) {
  const options = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
  const info = { name: 'day', version: '1' };
  if (which === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client(info);
    await client.connect(new StreamableHTTPClientTransport(new URL(url), options));
    return { client, call: (name, args, more) => client.callTool({ name, arguments: args }, undefined, more) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = { 'v2-modern': { pin: '2026-07-28' }, 'v2-legacy': 'legacy', 'v2-auto': 'auto' }[which];
  const client = new Client(info, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), options));
  return { client, call: (name, args, more) => client.callTool({ name, arguments: args }, more) };
}

const texts = (result) => result.content.filter((block) => block.type === 'text').map((block) => block.text).join('\n');

async function tools({ client }) {
  const { tools: list } = await client.listTools();
  const names = list.map((tool) => tool.name);
  for (const name of ['run_code', 'get_job', 'cancel_job', 'create_session', 'close_session', 'write_files', 'read_file', 'status']) ok(names.includes(name), `the list has ${name}`, names);
  ok(JSON.stringify(list).length <= 14 * 1024, 'the list is short', JSON.stringify(list).length);
  ok((await client.listPrompts()).prompts.length > 0, 'there are prompts');
  ok((await client.listResourceTemplates()).resourceTemplates.length > 0, 'there are templates of resources');
}

async function one({ call }) {
  const result = await call('run_code', { language: 'python', code: 'import sys\nprint(6 * 7)\nprint("warned", file=sys.stderr)' });
  ok(!result.isError, 'code ran', result);
  like(texts(result), /42/, 'its output is in the text');
  is(result.structuredContent.status, 'succeeded', 'and in the object: status');
  is(result.structuredContent.stdout, '42\n', 'stdout');
  is(result.structuredContent.stderr, 'warned\n', 'stderr');
  is(result.structuredContent.exit_code, 0, 'exit code');
  const broken = await call('run_code', { language: 'python', code: 'import sys; sys.exit(3)' });
  ok(!broken.isError, 'a program that fails is an answer', broken);
  is(broken.structuredContent.exit_code, 3, 'with its exit code');
  const bad = await call('run_code', { language: 'python', code: 'print(1)', timeout_second: 5 });
  ok(bad.isError, 'an argument that there is not is refused', bad);
  like(texts(bad), /timeout_seconds/, 'with what may have been meant');
}

async function session({ client, call }) {
  const made = await call('create_session', { language: 'python' });
  const session_id = made.structuredContent?.session_id;
  if (!like(session_id, /^ses_/, 'a session is made')) throw new Error(texts(made));
  await call('run_code', { language: 'python', session_id, code: 'x = 20' });
  const kept = await call('run_code', { language: 'python', session_id, code: 'print(x + 1)' });
  is(kept.structuredContent.stdout, '21\n', 'it remembers');
  const wrote = await call('write_files', { session_id, files: [{ path: 'in.csv', content: 'a,b\n1,2\n' }] });
  ok(!wrote.isError, 'a file is written', wrote);
  const read = await call('run_code', { language: 'python', session_id, code: 'print(open("in.csv").read(), end="")' });
  is(read.structuredContent.stdout, 'a,b\n1,2\n', 'the code reads it');
  like(texts(await call('read_file', { session_id, path: 'in.csv' })), /1,2/, 'and so does the agent');
  const resource = await client.readResource({ uri: `sandbox://session/${session_id}/in.csv` });
  is(resource.contents[0].text, 'a,b\n1,2\n', 'also as a resource');
  const chart = await call('run_code', { language: 'python', session_id, code: 'import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.show()', timeout_seconds: 60, wait_seconds: 50 });
  const image = chart.content.find((block) => block.type === 'image');
  ok(image?.mimeType === 'image/png' && Buffer.from(image.data, 'base64').subarray(1, 4).toString() === 'PNG', 'a chart comes as an image', chart);
  like(texts(await call('status', {})), new RegExp(session_id), 'status knows the session');
  ok((await call('close_session', { session_id })).structuredContent.closed, 'it is closed');
  const late = await call('run_code', { language: 'python', session_id, code: 'print(1)' });
  ok(late.isError, 'and then gone', late);
  like(texts(late), /Next: /, 'with what to do next');
}

async function longRun({ call }) {
  const seen = [];
  const code = 'import time\nfor i in range(8):\n    print("line", i, flush=True)\n    time.sleep(0.5)';
  const result = await call('run_code', { language: 'python', code, wait_seconds: 20 }, { onprogress: (progress) => seen.push(progress) });
  is(result.structuredContent.status, 'succeeded', 'a long run was waited for');
  ok(seen.length >= 2 && seen.every((item, i) => i === 0 || item.progress > seen[i - 1].progress), 'its progress was told and grew', seen);
  ok(seen.some((item) => /line \d/.test(item.message ?? '')), 'with its last line', seen);
  const begun = await call('run_code', { language: 'python', code: 'import time; time.sleep(3); print("late")', wait_seconds: 0 });
  const job_id = begun.structuredContent.job_id;
  ok(['queued', 'running'].includes(begun.structuredContent.status), 'one that is not waited for is a handle', begun);
  like(texts(begun), /get_job/, 'with what to call');
  const ended = await call('get_job', { job_id, wait_seconds: 30 });
  is(ended.structuredContent.stdout, 'late\n', 'by which its end is read');
  const endless = await call('run_code', { language: 'python', code: 'while True: pass', wait_seconds: 0 });
  const cancelled = await call('cancel_job', { job_id: endless.structuredContent.job_id });
  is(cancelled.structuredContent.status, 'cancelled', 'another is cancelled');
}

async function refusal() {
  const { client, call } = await connect(process.env.MCP_TOKEN_NARROW);
  const { tools: list } = await client.listTools();
  ok(!list.some((tool) => tool.name === 'write_files'), 'who may not use a tool does not see it', list.map((tool) => tool.name));
  const result = await call('run_code', { language: 'bash', code: 'echo 1' });
  ok(result.isError, 'what policy forbids is refused', result);
  like(texts(result), /languages/, 'by the name of its rule');
  await client.close();
}

await run(async () => {
  const agent = await connect(process.env.MCP_TOKEN);
  await tools(agent);
  await one(agent);
  await session(agent);
  await longRun(agent);
  await agent.client.close();
  await refusal();
});
