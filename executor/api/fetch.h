/* A stored artifact's bytes, read into memory for an answer or a run that is made of them. */
#pragma once

#include "executor/api/sandbox_uri.h"
#include "executor/core/artifact.h"

struct call;
struct fetch;

enum {
    FETCH_E_UNKNOWN = 1, /* the tenant has no such thing, or it has expired */
};

/* Looks up what a job or artifact URI names: `then` as of call_read, which asks fetch_take. */
void fetch_find(struct call *call, const struct sandbox_uri *uri,
                void (*then)(struct call *call, int rc, const struct db_result *result));
/* 0, FETCH_E_UNKNOWN or -errno. */
_must_check_ int fetch_take(struct artifact *ret, const struct call *call, int rc,
                            const struct db_result *result);

struct fetch_spec {
    const struct artifact *artifact; /* with its key */
    uint64_t offset, length;         /* within it */
    struct sbx_buf *out;             /* borrowed until done; it must have room */
    /* Whether what came is enough already; NULL: it never is. */
    bool (*enough)(struct call *call);
    void (*done)(struct call *call);
};
/* Its event is the caller's, and durable before. What fails is answered here. One at a time. */
void fetch_read(struct call *call, const struct fetch_spec *spec);
/* The call is over, or done. Accepts NULL, returns NULL. */
struct fetch *fetch_free(struct fetch *fetch);
