/* The body of POST /v1/jobs. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/job_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_field_error err;
    struct job_spec *spec = NULL;
    int r;

    r = job_request_parse(&spec, (const char *)data, size, &err);
    if (r == 0) {
        /* What passed is what the agent will be sent: terminated, bounded, complete. */
        if (spec->language == NULL || strlen(spec->code) != spec->code_len || spec->n_args > JOB_MAX_ARGS ||
            spec->n_env > JOB_MAX_ENV || spec->n_files > JOB_MAX_FILES ||
            spec->file_bytes > JOB_MAX_FILE_BYTES || spec->stdin_len > JOB_MAX_STDIN) {
            abort();
        }
        for (unsigned i = 0; i < spec->n_files; i++) {
            if (spec->files[i].path[0] == '/' || strstr(spec->files[i].path, "//") != NULL) {
                abort();
            }
        }
    } else if (r == JOB_REQUEST_E_FIELD &&
               (err.message[0] == '\0' || (err.field[0] != '\0' && err.field[0] != '/'))) {
        abort();
    }
    job_spec_free(spec);
    return 0;
}
