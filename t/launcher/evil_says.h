/* What evil_agent says, by name: bytes in place of a reply, documents in place of the end of a step. */
#pragma once

#define ESC "\\u001b[31mEVILTEXT"

/* What is wrong with the bytes, whatever they should have been. */
static const struct {
    const char *name, *bytes;
} shapes[] = {
    { "garbage", "SSH-2.0-EVILTEXT\r\n\r\n" },
    { "bare-lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}" },
    { "fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}" },
    { "space-colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}" },
    { "nul-header", "HTTP/1.1 200 OK\r\nX: \001\r\nContent-Length: 2\r\n\r\n{}" },
    { "two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}" },
    { "list-length", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}" },
    { "minus-length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}" },
    { "length-wraps", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\n{}" },
    { "length-and-chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}" },
    { "no-length", "HTTP/1.1 200 OK\r\n\r\n{}" },
    { "chunk-nonsense", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n" },
    { "chunk-wraps", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n" },
    { "chunk-minus", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n" },
    { "gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" },
    { "upgrade", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" },
    { "continue", "HTTP/1.1 100 Continue\r\n\r\n" },
    { "redirect", "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n" },
    { "status-999", "HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\n{}" },
    { "status-000", "HTTP/1.1 000 X\r\nContent-Length: 2\r\n\r\n{}" },
    { "no-content", "HTTP/1.1 204 X\r\n\r\n" },
    { "not-modified", "HTTP/1.1 304 X\r\n\r\n" },
    { "http-2", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}" },
    { "http-0.9", "{}" },
    { "empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
};

/* Text in place of the document of a step; %s is the right step. */
static const struct {
    const char *name, *document;
} documents[] = {
    { "not-json", "EVILTEXT\033[2J" },
    { "array", "[]" },
    { "null", "null" },
    { "nan", "{\"stepId\":\"%s\",\"exit_code\":NaN}" },
    { "huge-number", "{\"stepId\":\"%s\",\"exit_code\":1e400}" },
    { "long-number", "{\"stepId\":\"%s\",\"exit_code\":99999999999999999999999999}" },
    { "fraction", "{\"stepId\":\"%s\",\"exit_code\":0.5}" },
    { "exit-256", "{\"stepId\":\"%s\",\"exit_code\":256}" },
    { "exit-minus", "{\"stepId\":\"%s\",\"exit_code\":-1}" },
    { "exit-text", "{\"stepId\":\"%s\",\"exit_code\":\"0\"}" },
    { "exit-object", "{\"stepId\":\"%s\",\"exit_code\":{}}" },
    { "no-status", "{\"stepId\":\"%s\"}" },
    { "both-status", "{\"stepId\":\"%s\",\"exit_code\":0,\"signal\":\"SIGKILL\"}" },
    { "signal-nonsense", "{\"stepId\":\"%s\",\"signal\":\"SIG" ESC "\"}" },
    { "signal-long", "{\"stepId\":\"%s\",\"signal\":\"SIGKILLSIGKILLSIGKILLSIGKILL\"}" },
    { "signal-number", "{\"stepId\":\"%s\",\"signal\":9}" },
    { "duplicate", "{\"stepId\":\"%s\",\"exit_code\":0,\"exit_code\":1}" },
    { "unknown-member", "{\"stepId\":\"%s\",\"exit_code\":0,\"verdict\":\"" ESC "\"}" },
    { "nul-escape", "{\"stepId\":\"%s\",\"exit_code\":0,\"result_error\":\"a\\u0000b\"}" },
    { "nul-key", "{\"stepId\":\"%s\",\"exit_code\":0,\"\\u0000\":1}" },
    { "bad-utf8", "{\"stepId\":\"%s\",\"exit_code\":0,\"result_error\":\"\xc0\xaf\"}" },
    { "surrogate", "{\"stepId\":\"%s\",\"exit_code\":0,\"result_error\":\"\\ud800\"}" },
    { "control-error", "{\"stepId\":\"%s\",\"exit_code\":0,\"result_error\":\"" ESC "\"}" },
    { "other-step", "{\"stepId\":\"job_00000000000000000000000000\",\"exit_code\":0}" },
    { "no-step", "{\"exit_code\":0}" },
    { "cpu-minus", "{\"stepId\":\"%s\",\"exit_code\":0,\"cpu_ms\":-5}" },
    { "cpu-2-64", "{\"stepId\":\"%s\",\"exit_code\":0,\"cpu_ms\":18446744073709551616}" },
    { "trailing", "{\"stepId\":\"%s\",\"exit_code\":0}{}" },
    { "result-name", "{\"stepId\":\"%s\",\"exit_code\":0,\"r\\u0065sult\":1}" },
    { "result-and-error", "{\"stepId\":\"%s\",\"exit_code\":0,\"result\":1,\"result_error\":\"x\"}" },
    { "path-up",
      "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"../../etc/passwd\",\"size\":1}]}" },
    { "path-inner-up",
      "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a/../../b\",\"size\":1}]}" },
    { "path-absolute",
      "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"/etc/passwd\",\"size\":1}]}" },
    { "path-empty", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"\",\"size\":1}]}" },
    { "path-slashes", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a//b\",\"size\":1}]}" },
    { "path-nul", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a\\u0000b\",\"size\":1}]}" },
    { "path-twice", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a\",\"size\":1},{\"path\":"
                    "\"a\",\"size\":1}]}" },
    { "path-number", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":1,\"size\":1}]}" },
    { "size-minus", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a\",\"size\":-1}]}" },
    { "size-huge",
      "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a\",\"size\":9223372036854775807}]}" },
    { "size-sum", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a\",\"size\":9999999},{\"path\":"
                  "\"b\",\"size\":9999999}]}" },
    { "skipped-count", "{\"stepId\":\"%s\",\"exit_code\":0,\"files_skipped_count\":4294967296}" },
    { "claims-nothing",
      "{\"stepId\":\"%s\",\"exit_code\":0,\"cpu_ms\":0,\"wall_ms\":0,\"peak_memory_bytes\":0}" },
    { "claims-much", "{\"stepId\":\"%s\",\"exit_code\":0,\"cpu_ms\":9223372036854775807,\"peak_memory_"
                     "bytes\":9223372036854775807}" },
    { "claims-timeout", "{\"stepId\":\"%s\",\"exit_code\":0,\"timed_out\":true}" },
    { "path-control", "{\"stepId\":\"%s\",\"exit_code\":0,\"files\":[{\"path\":\"a" ESC "\",\"size\":1}]}" },
    { "skipped-control", "{\"stepId\":\"%s\",\"exit_code\":0,\"files_skipped\":[{\"path\":\"a" ESC
                         "\",\"reason\":\"\\u2028" ESC "\"}]}" },
};
