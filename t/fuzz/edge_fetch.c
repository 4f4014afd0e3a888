/* Any bytes as an answer to one of the gateway's own requests, in pieces of any size: bounded, and the same however they are cut. */
#include "lib/sbx_http_answer.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BODY 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
fuzz_read(struct sbx_http_answer *reply, const char *data, size_t len, size_t piece)
{
    size_t off = 0, n;
    int rc = 0;

    while (rc == 0 && off < len) {
        n = len - off < piece ? len - off : piece;
        rc = sbx_http_answer_feed(reply, data + off, n);
        off += n;
    }
    if (sbx_http_answer_body(reply)->len > MAX_BODY) {
        abort();
    }
    if (rc == SBX_HTTP_ANSWER_DONE) {
        const char *field = sbx_http_answer_field(reply, "Cache-Control");
        unsigned status = sbx_http_answer_status(reply);

        if (status < 200 || status > 599 || (field != NULL && strlen(field) > len) ||
            (sbx_http_answer_keeps(reply) && !sbx_http_answer_begun(reply))) {
            abort();
        }
    }
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_http_answer *whole = sbx_http_answer_new(MAX_BODY), *cut = sbx_http_answer_new(MAX_BODY);
    size_t piece = size > 0 ? data[0] % 64 + 1u : 1;
    const char *text = (const char *)data + (size > 0);
    int rc, again;

    if (whole == NULL || cut == NULL) {
        abort();
    }
    size -= size > 0;
    rc = fuzz_read(whole, text, size, size);
    again = fuzz_read(cut, text, size, piece);
    /* A cut reader is done before it sees what should not follow. */
    if (again == SBX_HTTP_ANSWER_DONE && rc == SBX_HTTP_ANSWER_DONE &&
        (sbx_http_answer_body(whole)->len != sbx_http_answer_body(cut)->len ||
         sbx_http_answer_status(whole) != sbx_http_answer_status(cut))) {
        abort();
    }
    if (rc == SBX_HTTP_ANSWER_DONE && again != SBX_HTTP_ANSWER_DONE) {
        abort();
    }
    whole = sbx_http_answer_free(whole);
    cut = sbx_http_answer_free(cut);
    return 0;
}
