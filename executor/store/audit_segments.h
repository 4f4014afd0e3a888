/* Names and reading of the log's segment files: audit-<seq of the first line, 20 digits>.jsonl */
#pragma once

#include "audit_chain.h"

#define AUDIT_SEGMENT_NAME (sizeof("audit-00000000000000000000.jsonl"))
#define AUDIT_LOCK_NAME "lock" /* held by the one who writes (an open file description lock) */
#define AUDIT_SEGMENTS_MAX (1u << 20)

struct audit_segments {
    uint64_t *first; /* ascending */
    size_t n, cap;
    bool strange; /* a name that begins as ours and is none of ours */
    char strange_name[64];
};

void audit_segments_deinit(struct audit_segments *segments);
/* Lists the directory; 0 or -errno. */
_must_check_ int audit_segments_scan(struct audit_segments *ret, int dir_fd);
void audit_segment_name(char out[AUDIT_SEGMENT_NAME], uint64_t first);
/* Whether somebody writes the log now; asks without getting in the way of one who starts. */
bool audit_segments_live(int dir_fd);
/* Opens one for reading: regular, not through a link. Returns the descriptor or -errno. */
_must_check_ int audit_segment_open(int dir_fd, uint64_t first);

/* Lines of one file, each at most AUDIT_LINE_MAX long. */
struct audit_reader {
    int fd;
    char *buf;
    size_t start, end, cap;
    uint64_t line; /* number of the line returned last, from 1 */
};

enum {
    AUDIT_READ_LINE = 1, /* *ret, *ret_len are set until the next call */
    AUDIT_READ_TORN,     /* the file ends inside a line */
    AUDIT_READ_LONG,     /* a line longer than any of ours */
};

_must_check_ int audit_reader_init(struct audit_reader *reader, int fd); /* takes fd */
void audit_reader_deinit(struct audit_reader *reader);
/* 0 at the end, AUDIT_READ_* or -errno. */
_must_check_ int audit_reader_next(struct audit_reader *reader, const char **ret, size_t *ret_len);
