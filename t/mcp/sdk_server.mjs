// The official SDK's server with one tool, for t/bench/mcp to measure beside ours: it validates the same arguments and answers the same bytes.
// Usage: sdk_server.mjs PORT (127.0.0.1); prints "ready" when it listens.
import { createServer } from 'node:http';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import * as z from 'zod';

const inputSchema = z.strictObject({
  language: z.enum(['python', 'javascript', 'bash']),
  code: z.string().max(1048576),
  timeout_seconds: z.int().min(1).max(3600).optional(),
});
const answer = { content: [{ type: 'text', text: 'exit code 0\n{"sum": 6}\n' }] };

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'bench', version: '1' });
  server.registerTool('run', { description: 'Runs code and returns its output.', inputSchema }, () => answer);
  return server;
});
createServer(toNodeHandler(handler)).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
