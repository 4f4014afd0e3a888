/*
 * Reads a tar archive (ustar, pax, GNU's long names) as it comes, in pieces of any size. Takes regular files and
 * directories; refuses everything that could name, link to or stand for something else, with the entry's name.
 * Pure: makes no file. A library would pull its input and so need a thread, or all of the archive at once.
 */
#pragma once

#include "lib/sbx_base.h"

#define TAR_BLOCK 512u
#define TAR_PATH_MAX 1024u   /* REQUEST_MAX_PATH */
#define TAR_EXTRA_MAX 65536u /* bytes of a pax header or long name */

struct tar_entry {
    const char *path; /* valid by request_path_valid, or "." */
    bool directory;
    unsigned mode; /* permission bits */
    uint64_t size;
};

/* Each returns 0 or -errno, which ends the reading. Borrow until return. */
struct tar_events {
    int (*entry)(void *arg, const struct tar_entry *entry);
    int (*data)(void *arg, const char *data, size_t len);
    int (*end)(void *arg); /* of a regular file: all its bytes have come */
};

struct tar_reader;

enum {
    TAR_E_REFUSED = 1, /* tar_reader_why tells */
};

_must_check_ int tar_reader_new(struct tar_reader **ret, const struct tar_events *events, void *arg);
struct tar_reader *tar_reader_free(struct tar_reader *reader); /* accepts NULL, returns NULL */
/* 0, TAR_E_REFUSED or what an event returned. Nothing may follow a failure. */
_must_check_ int tar_reader_feed(struct tar_reader *reader, const char *data, size_t len);
/* There is no more: 0, or TAR_E_REFUSED when the archive is cut short. */
_must_check_ int tar_reader_finish(struct tar_reader *reader);
/* Of TAR_E_REFUSED; at most 255 bytes. */
const char *tar_reader_why(const struct tar_reader *reader);
