#include "executor/core/job_record.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
job_record_deinit(struct job_record *record)
{
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        free(record->stream[i].data);
    }
    free(record->metadata_json);
    free(record->result_json);
    free(record->violation_json);
    free(record->usage_json);
    free(record->skipped_json);
    job_artifacts_free(record->artifacts, record->n_artifacts);
    memset(record, 0, sizeof(*record));
}

struct job_artifact *
job_artifacts_free(struct job_artifact *artifacts, unsigned n)
{
    for (unsigned i = 0; artifacts != NULL && i < n; i++) {
        free(artifacts[i].path);
        explicit_bzero(artifacts[i].key, sizeof(artifacts[i].key));
    }
    free(artifacts);
    return NULL;
}

const char *
artifact_mime(const char *path)
{
    static const struct {
        const char *extension, *mime;
    } known[] = {
        { "txt", "text/plain" },
        { "log", "text/plain" },
        { "md", "text/markdown" },
        { "csv", "text/csv" },
        { "tsv", "text/tab-separated-values" },
        { "html", "text/html" },
        { "json", "application/json" },
        { "xml", "application/xml" },
        { "pdf", "application/pdf" },
        { "zip", "application/zip" },
        { "gz", "application/gzip" },
        { "png", "image/png" },
        { "jpg", "image/jpeg" },
        { "jpeg", "image/jpeg" },
        { "gif", "image/gif" },
        { "webp", "image/webp" },
        { "svg", "image/svg+xml" },
        { "py", "text/x-python" },
        { "js", "text/javascript" },
        { "parquet", "application/vnd.apache.parquet" },
    };
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash == NULL ? path : slash, '.');

    for (size_t i = 0; dot != NULL && i < SBX_COUNT(known); i++) {
        if (strcasecmp(dot + 1, known[i].extension) == 0) {
            return known[i].mime;
        }
    }
    return "application/octet-stream";
}
