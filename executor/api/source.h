/*
 * What a sandbox:// URI names, on its way into memory for an answer that shows it: a file or directory of a live session,
 * what a job left, an image that a step displayed, an artifact. Who asked needs the scope that its own route takes; what is not there, not the tenant's or
 * no URI at all is not found.
 *
 *   source_open -> found -> (bytes ... enough) -> done
 *              \-> listed
 */
#pragma once

#include "executor/api/sandbox_uri.h"
#include "executor/core/artifact.h"

struct call;

#define SOURCE_ENTRIES_MAX 1000u

struct source_events {
    /* Its size and type are known, and may be all there is to say; false: answered. May lower call->source->wanted. */
    bool (*found)(struct call *call);
    /* Whether what came is enough already. */
    bool (*enough)(struct call *call);
    void (*done)(struct call *call);
    /* It is a directory: data has a line for each entry. */
    void (*listed)(struct call *call);
};

struct source {
    struct sandbox_uri uri;
    const struct source_events *events;
    uint64_t offset;
    uint64_t wanted;          /* bytes from offset on, no more than there are */
    unsigned max_entries;     /* of a directory */
    struct artifact artifact; /* of a job, or itself */
    uint64_t size;            /* of all of it */
    char mime[ARTIFACT_MIME_MAX + 1];
    struct sbx_buf data;
    unsigned n_entries;
    bool has_more; /* entries */
    bool taken;    /* no more bytes are waited for */
};

struct source_ask {
    const char *uri;  /* NULL: `path` in the session of call->id */
    const char *path; /* NULL: it did not decode */
    const struct source_events *events;
    uint64_t offset, most; /* bytes that may be wanted; 0: only what it is */
    unsigned max_entries;
};
/* Answers the call when there is nothing to show. */
void source_open(struct call *call, const struct source_ask *ask);
/* The last part of its name. */
const char *source_name(const struct source *source);
/* The call is over. Accepts NULL, returns NULL. */
struct source *source_free(struct source *source);
