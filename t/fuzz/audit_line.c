/* Any bytes as a line of the audit log: what is accepted must be what its own members make again. */
#include "executor/store/audit_chain.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Completes the input with its right hash, so that mutations get past the hash and into the form. */
static size_t
fuzz_with_hash(char *out, const uint8_t *data, size_t size)
{
    uint8_t digest[SBX_SHA256_LEN];
    char hash[SBX_SHA256_HEX];

    memcpy(out, data, size);
    out[size] = '}';
    if (sbx_sha256(out, size + 1, digest) != 0) {
        abort();
    }
    sbx_hex(hash, digest, sizeof(digest));
    memcpy(out + size, ",\"hash\":\"", 9);
    memcpy(out + size + 9, hash, SBX_SHA256_HEX - 1);
    memcpy(out + size + 9 + SBX_SHA256_HEX - 1, "\"}", 2);
    return size + 9 + SBX_SHA256_HEX - 1 + 2;
}

static void
fuzz_line(const char *line, size_t len)
{
    struct audit_line parsed;
    const int r = audit_line_parse(&parsed, line, len);

    if (r == 0 && (parsed.seq == 0 || strlen(parsed.hash) != SBX_SHA256_HEX - 1 ||
                   memchr(line, '\n', len) != NULL || memcmp(line, "{\"seq\":", 7) != 0)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line;

    if (size > AUDIT_LINE_MAX + 1) {
        return 0;
    }
    line = malloc(size + 128);
    if (line == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(line, data, size);
    }
    fuzz_line(line, size);
    fuzz_line(line, fuzz_with_hash(line, data, size));
    free(line);
    return 0;
}
