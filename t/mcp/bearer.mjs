// Loaded before the conformance suite, which cannot be told of a header: each request to MCP_ORIGIN carries the token in MCP_TOKEN.
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { getGlobalDispatcher, setGlobalDispatcher } from 'undici';

const { MCP_ORIGIN, MCP_TOKEN } = process.env;

// Headers come as a list of names and values in turns, or as an object.
function withToken(headers) {
  if (!Array.isArray(headers)) return { ...headers, authorization: `Bearer ${MCP_TOKEN}` };
  return [...headers, 'authorization', `Bearer ${MCP_TOKEN}`];
}

setGlobalDispatcher(
  getGlobalDispatcher().compose(
    (dispatch) => (options, handler) =>
      dispatch(String(options.origin) === MCP_ORIGIN ? { ...options, headers: withToken(options.headers ?? {}) } : options, handler),
  ),
);

const plain = http.request;
http.request = function request(...given) {
  const request = plain.apply(http, given);
  if (`http://${request.getHeader('host')}` === MCP_ORIGIN && !request.hasHeader('authorization')) request.setHeader('Authorization', `Bearer ${MCP_TOKEN}`);
  return request;
};
syncBuiltinESMExports();
