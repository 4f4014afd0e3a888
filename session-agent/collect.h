/*
 * Artifacts: the regular files below the workspace that match the declared
 * patterns, in the order of their names, within the caps. Runs when every process
 * of the payload is dead, with the payload's rights.
 */
#pragma once

#include "lib/sbx_json.h"

enum {
    COLLECT_MAX_DEPTH = 64,
    COLLECT_MAX_ENTRIES = 10000,
    COLLECT_MAX_SKIPPED = 1000, /* remembered; the rest is only counted */
};

struct collect_file {
    char *path;
    uint64_t size;
    const char *reason; /* NULL: taken; else constant text why not */
};

struct collection {
    struct collect_file *files; /* sorted by path */
    unsigned n_files;
    unsigned n_skipped; /* also those not remembered */
};

struct collect_spec {
    int root;
    const json_t *patterns; /* checked by request.h */
    unsigned max_files;
    uint64_t max_bytes;
};

_must_check_ int collect(struct collection *ret, const struct collect_spec *spec);
void collection_deinit(struct collection *collection);
