/* Bodies of what makes and changes sessions, steps and contexts: whatever is accepted keeps the promises of the header. */
#include "executor/api/session_request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int (*parse_fn)(struct job_spec **ret, struct session_request *ret_more, const char *text, size_t len,
                        struct sbx_field_error *err);

static void
check(parse_fn parse, const char *text, size_t len)
{
    struct session_request more = { 0 };
    struct job_spec *spec = NULL;
    struct sbx_field_error err;
    int r = parse(&spec, &more, text, len, &err);

    assert((r == 0) == (spec != NULL));
    if (r == 0) {
        assert(!more.has_ttl || (more.ttl_ms > 0 && more.ttl_ms <= SESSION_MAX_DURATION_MS));
        assert(!more.has_timeout || more.timeout_ms > 0);
        assert(spec->limits.value[SBX_LIMIT_TIME] == 0);
        assert(spec->code_len <= JOB_MAX_CODE && spec->n_env <= JOB_MAX_ENV &&
               spec->n_files <= JOB_MAX_FILES);
        for (unsigned i = 0; i < spec->n_files; i++) {
            bool named = spec->file_uris != NULL && spec->file_uris[i] != NULL;

            assert(named == (spec->files[i].data == NULL));
        }
        assert(more.context_name == NULL || sbx_name_valid(more.context_name, strlen(more.context_name)));
    } else if (r > 0) {
        assert(memchr(err.field, '\0', sizeof(err.field)) != NULL);
        assert(memchr(err.message, '\0', sizeof(err.message)) != NULL);
    }
    free(more.context_name);
    job_spec_free(spec);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const parse_fn parsers[] = { session_body_parse, session_patch_parse, step_body_parse,
                                        context_body_parse, files_body_parse };

    for (size_t i = 0; i < SBX_COUNT(parsers); i++) {
        check(parsers[i], (const char *)data, size);
    }
    return 0;
}
