/*
 * Takes the gateway's denial log into the audit chain: each line exactly once,
 * because how far each file was read is stored in the transaction that appends its
 * events. Follows a rotation by rename to "<path>.1" (and on to ".2" and so on), also
 * one that happened while nobody looked: files are taken in the order of their age.
 * nginx's workers open the new file one by one, and one that was busy writes to the
 * old one until then; so the last DENIALS_OLD of them are read on. A rotated file that
 * cannot be opened is passed over, and read on after a start when it can. What was taken is
 * given back to the file system by punching holes when the file may be written.
 */
#pragma once

#include "executor/core/timer.h"
#include "executor/store/db.h"

struct denials;

#define DENIALS_LINE_MAX 16384
#define DENIALS_OLD                                                                                          \
    4 /* one digit: files before the last one that are read on, and looked for after a start */

struct denial {
    char tenant[65];     /* "-" when the request had none */
    char request_id[65]; /* "" when there is none */
    char *body;          /* one JSON object; the caller frees */
    size_t body_len;
    uint64_t keep_ms; /* 0: as the configuration says */
};

struct denials_spec {
    struct timers *timers;
    struct db *db;
    const char *path; /* copied */
    /* Reads one line, without its end. Never fails for what the line holds: nonsense becomes a denial that says so. */
    int (*parse)(struct denial *ret, const char *line, size_t len);
};

_must_check_ int denials_new(struct denials **ret, const struct denials_spec *spec);
/* After the database was closed: no callback may be due. */
struct denials *denials_free(struct denials *denials);
