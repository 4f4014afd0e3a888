// The backend behind the conformance suite's fixtures: it speaks what docs/mcp.md, "What a backend answers", says, and knows the tools,
// prompts and resources of fixtures.json and no others. Usage: backend.mjs PORT (127.0.0.1); prints "ready" when it listens, ends with its standard input.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';
const text = (words, more = {}) => ({ content: [{ type: 'text', text: words }], ...more });
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const elicit = (message, member, type = 'string') => ({
  method: 'elicitation/create',
  params: { mode: 'form', message, requestedSchema: { type: 'object', properties: { [member]: { type } }, required: [member] } },
});
const sample = (words) => ({
  method: 'sampling/createMessage',
  params: { messages: [{ role: 'user', content: { type: 'text', text: words } }], maxTokens: 100 },
});
const roots = { method: 'roots/list', params: {} };

class Outcome {
  constructor(kind, body) {
    Object.assign(this, { kind, body });
  }
}
const ask = (inputRequests, requestState) => new Outcome('input_required', { inputRequests, ...(requestState && { requestState }) });
const error = (code, message, data) => new Outcome('error', { code, message, ...(data && { data }) });

// What a client brought for `key`, when it looks like an answer to such a request.
const answered = (call, key) => {
  const answer = call.params.inputResponses?.[key];
  return answer !== null && typeof answer === 'object' && Object.keys(answer).length > 0 ? answer : undefined;
};

const tools = {
  test_simple_text: () => text('This is a simple text response for testing.'),
  test_image_content: () => ({ content: [{ type: 'image', data: PNG, mimeType: 'image/png' }] }),
  test_audio_content: () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }),
  test_embedded_resource: () => ({
    content: [{ type: 'resource', resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' } }],
  }),
  test_multiple_content_types: () => ({
    content: [
      { type: 'text', text: 'Multiple content types test:' },
      { type: 'image', data: PNG, mimeType: 'image/png' },
      { type: 'resource', resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data","value":123}' } },
    ],
  }),
  test_error_handling: () => text('This tool intentionally returns an error for testing', { isError: true }),
  test_missing_capability: () => text('The client can sample.'),
  test_streaming_elicitation: () => text('Nothing was asked.'),
  test_logging_tool: () => text('Nothing was logged.'),
  async test_tool_with_logging(call) {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      call.notify('notifications/message', { level: 'info', logger: 'fixtures', data });
      await later(50);
    }
    return text('Tool with logging executed.');
  },
  async test_tool_with_progress(call) {
    for (const progress of [0, 50, 100]) {
      call.progress(progress, 100);
      await later(50);
    }
    return text('Tool with progress executed.');
  },
  test_input_required_result_elicitation(call) {
    const name = answered(call, 'user_name')?.content?.name;
    return typeof name === 'string' ? text(`Hello, ${name}!`) : ask({ user_name: elicit('What is your name?', 'name') });
  },
  test_input_required_result_sampling: (call) =>
    answered(call, 'capital_question') ? text('Thank you: Paris.') : ask({ capital_question: sample('What is the capital of France?') }),
  test_input_required_result_list_roots: (call) => (answered(call, 'client_roots') ? text('Thank you.') : ask({ client_roots: roots })),
  test_input_required_result_request_state: (call) =>
    call.params.requestState === 'waiting' && answered(call, 'confirm') ? text('state-ok') : ask({ confirm: elicit('Please confirm', 'ok', 'boolean') }, 'waiting'),
  test_input_required_result_multiple_inputs: (call) =>
    call.params.requestState === 'three' && ['user_name', 'greeting', 'client_roots'].every((key) => answered(call, key))
      ? text('All three came.')
      : ask({ user_name: elicit('What is your name?', 'name'), greeting: sample('Generate a greeting'), client_roots: roots }, 'three'),
  test_input_required_result_multi_round(call) {
    if (call.params.requestState === 'second' && answered(call, 'step2')) return text('Both rounds are over.');
    if (call.params.requestState === 'first' && answered(call, 'step1')) return ask({ step2: elicit('Step 2: What is your favorite color?', 'color') }, 'second');
    return ask({ step1: elicit('Step 1: What is your name?', 'name') }, 'first');
  },
  test_input_required_result_tampered_state: (call) =>
    call.params.requestState === 'sealed' ? text('The state is as it was.') : ask({ confirm: elicit('Please confirm', 'ok', 'boolean') }, 'sealed'),
  test_input_required_result_capabilities(call) {
    if (call.params.inputResponses) return text('Thank you.');
    const requests = {};
    if (call.capabilities.includes('elicitation')) requests.name = elicit('What is your name?', 'name');
    if (call.capabilities.includes('sampling')) requests.word = sample('Say a word');
    return Object.keys(requests).length > 0 ? ask(requests) : text('The client can do neither.');
  },
  json_schema_2020_12_tool: () => text('The arguments are as the schema says.'),
  test_x_mcp_header: (call) => text(`region ${call.params.arguments?.region ?? 'not given'}`),
  greet: (call) => text(`Hello, ${call.params.arguments.name}!`),
  slow_compute: (call) => call.task(async (task) => {
    await Promise.race([later(1000 * (call.params.arguments.seconds ?? 0)), task.ended]);
    return text(`computed for ${call.params.arguments.seconds ?? 0} s`);
  }),
  failing_job: (call) => call.task(async () => {
    await later(1000);
    return text('The job failed as it should.', { isError: true });
  }),
  protocol_error_job: (call) => call.task(async () => {
    throw Object.assign(new Error('the worker broke'), { code: -32603 });
  }),
  confirm_delete: (call) => call.task(async (task) => {
    const { confirm } = await task.input({ confirm: elicit(`Delete ${call.params.arguments?.filename}?`, 'confirm', 'boolean') });
    return text(confirm?.content?.confirm === true ? 'deleted' : 'kept');
  }),
  multi_input: (call) => call.task(async (task) => {
    await task.input({ first: elicit('First name?', 'name'), second: elicit('Second name?', 'name') });
    return text('Both names came.');
  }),
  test_tool_with_task(call) {
    const name = answered(call, 'user_name')?.content?.name;
    if (typeof name !== 'string') return ask({ user_name: elicit('What is your name?', 'name') });
    return call.task(async () => text(`Hello, ${name}, from a task.`));
  },
};

const templates = {
  'test://template/': (uri) => {
    const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
    return id && { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] };
  },
};

const prompts = {
  test_input_required_result_prompt(call) {
    const context = answered(call, 'user_context')?.content?.context;
    if (typeof context !== 'string') return ask({ user_context: elicit('What context should the prompt use?', 'context') });
    return { messages: [{ role: 'user', content: { type: 'text', text: `In this context: ${context}` } }] };
  },
};

// Tasks: kept as long as the process lives.
const tasks = new Map();
const isOver = (task) => ['completed', 'failed', 'cancelled'].includes(task.status);

class Task {
  constructor(work) {
    this.id = randomUUID();
    this.created = this.updated = new Date().toISOString();
    this.status = 'working';
    this.pending = {};
    this.given = {};
    this.ended = new Promise((resolve) => (this.end = resolve));
    tasks.set(this.id, this);
    this.over = work(this).then(
      (result) => this.settle('completed', { result }),
      (e) => this.settle('failed', { error: { code: e.code ?? -32603, message: e.message } }),
    );
  }
  settle(status, more = {}) {
    if (isOver(this)) return;
    Object.assign(this, { status, more, pending: {}, updated: new Date().toISOString() });
    this.end();
  }
  input(requests) {
    this.pending = requests;
    this.status = 'input_required';
    return new Promise((resolve) => (this.resume = resolve));
  }
  update(responses) {
    for (const [key, value] of Object.entries(responses ?? {})) {
      if (!(key in this.pending)) continue;
      this.given[key] = value;
      delete this.pending[key];
    }
    if (this.status === 'input_required' && Object.keys(this.pending).length === 0) {
      this.status = 'working';
      this.resume(this.given);
    }
  }
  describe() {
    return {
      taskId: this.id, status: this.status, createdAt: this.created, lastUpdatedAt: this.updated, ttlMs: 600000, pollIntervalMs: 100,
      ...(this.status === 'input_required' && { inputRequests: this.pending }), ...this.more,
    };
  }
}

const methods = {
  async 'tools/call'(call) {
    const tool = tools[call.params.name];
    return tool ? tool(call) : error(-32602, 'Unknown tool');
  },
  'resources/read'(call) {
    const [, read] = Object.entries(templates).find(([prefix]) => call.params.uri.startsWith(prefix)) ?? [];
    return read?.(call.params.uri) || error(-32602, 'Resource not found', { uri: call.params.uri });
  },
  'prompts/get': (call) => prompts[call.params.name]?.(call) ?? error(-32602, 'Unknown prompt'),
  'tasks/get': (call) => tasks.get(call.params.taskId)?.describe() ?? error(-32602, 'Unknown task'),
  'tasks/update'(call) {
    const task = tasks.get(call.params.taskId);
    if (!task) return error(-32602, 'Unknown task');
    task.update(call.params.inputResponses);
    return { _meta: {} };
  },
  'tasks/cancel'(call) {
    const task = tasks.get(call.params.taskId);
    if (!task) return error(-32602, 'Unknown task');
    task.settle('cancelled');
    return { _meta: {} };
  },
};

// One call: what it may say while it runs, and its one answer.
class Call {
  constructor(message, request, reply) {
    Object.assign(this, message);
    this.reply = reply;
    this.flags = (request.headers['sandbox-tool-call'] ?? '').split(',').map((flag) => flag.trim());
    this.streams = (request.headers.accept ?? '').includes('text/event-stream');
  }
  event(name, data) {
    if (!this.streams) return;
    if (!this.reply.headersSent) this.reply.writeHead(200, { 'Content-Type': 'text/event-stream' });
    this.reply.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }
  progress(progress, total) {
    if (this.flags.includes('progress')) this.event('progress', { progress, total });
  }
  notify(method, params) {
    this.event('notification', { method, params });
  }
  async task(work) {
    const task = new Task(work);
    if (this.flags.includes('task')) return new Outcome('task', task.describe());
    await task.over;
    return task.more.result ?? new Outcome('error', task.more.error);
  }
  async answer() {
    let outcome = await methods[this.method]?.(this) ?? error(-32601, 'Method not found');
    if (!(outcome instanceof Outcome)) outcome = new Outcome('complete', outcome);
    if (this.reply.headersSent) {
      this.event(outcome.kind, outcome.body);
      return this.reply.end();
    }
    this.reply.writeHead(200, { 'Content-Type': 'application/vnd.sandbox.tool+json', 'Sandbox-Tool-Result': outcome.kind });
    this.reply.end(JSON.stringify(outcome.body));
  }
}

createServer(async (request, reply) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  await new Call(JSON.parse(Buffer.concat(parts).toString()), request, reply).answer();
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
process.stdin.on('end', () => process.exit()).resume();
