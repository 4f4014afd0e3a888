#include "executor/core/job_spec.h"

#include <stdlib.h>

struct job_spec *
job_spec_free(struct job_spec *spec)
{
    if (spec == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < spec->n_owned; i++) {
        free(spec->owned[i]);
    }
    free(spec->owned);
    free(spec->args);
    free(spec->env);
    free(spec->files);
    free(spec->file_uris);
    free(spec->event_json);
    free(spec->artifacts);
    free(spec->metadata_json);
    if (spec->body != NULL) {
        spec->release_body(spec->body);
    }
    free(spec);
    return NULL;
}
