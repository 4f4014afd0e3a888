/*
 * The runtime registry: which interpreter runs a language, as data. A language is
 * added by an entry in runtimes.json and a driver, without code.
 */
#pragma once

#include "lib/sbx_json.h"

#define RUNTIMES_MAX_FILE 65536u

struct runtime_entry {
    const char *name;   /* borrows from the registry, as all below */
    const char *source; /* file name the code is stored under */
    const json_t *aliases;
    const json_t *argv; /* "{source}" stands for the path of the source */
    const json_t *repl; /* argv of the interpreter that keeps its state; NULL: no sessions in this language */
    const json_t
        *slot; /* argv of the one that waits for its work; NULL: none does. It has the others' options */
    bool slot_is_early; /* it cannot be given descriptors, and is started with all that it may need */
    const char *zygote; /* the driver that forks it, instead of its last argument; NULL: none */
    json_t *env;        /* NULL: none */
};

struct runtimes;

enum {
    RUNTIMES_E_INVALID = 1, /* *err says where */
};

_must_check_ int runtimes_parse(struct runtimes **ret, const char *text, size_t len,
                                struct sbx_field_error *err);
_must_check_ int runtimes_load(struct runtimes **ret, const char *path, struct sbx_field_error *err);
struct runtimes *runtimes_free(struct runtimes *runtimes);
/* By name or alias; false when there is none. */
bool runtimes_find(const struct runtimes *runtimes, const char *name, struct runtime_entry *ret);
unsigned runtimes_count(const struct runtimes *runtimes);
void runtimes_at(const struct runtimes *runtimes, unsigned i, struct runtime_entry *ret);
