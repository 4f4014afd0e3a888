/*
 * What an agent is shown of a run, worked out once for both forms of an answer: the text that a model reads and the object
 * that a program reads. Each of them is complete without the other, for clients pass on one of both. Pure.
 */
#pragma once

#include "executor/api/tool_output.h"
#include "executor/api/tool_run.h"

#define TOOL_RESULT_MAX 16384       /* bytes of a result's JSON or text */
#define TOOL_FILES_MAX 100          /* that an answer lists */
#define TOOL_PICTURES_MAX 64        /* of a step's displays */
#define TOOL_IMAGE_MAX (256u << 10) /* bytes of an image that stands in an answer */
#define TOOL_IMAGES_MAX 4           /* of them in one */

struct tool_view_ask {
    const struct tool_run *run;
    bool has_offset[JOB_N_STREAMS];
    uint64_t offset[JOB_N_STREAMS];
    const char *const *urls; /* of run->files, each NULL or a URL; NULL: none */
};

/* An image among a step's displays. Borrows the record. */
struct tool_picture {
    char name[32];    /* "display-1.png" */
    const char *mime; /* static */
    const char *base64;
    size_t base64_len;
    uint64_t size;
};

struct tool_view {
    const struct tool_view_ask *ask;
    const struct tool_run *run;
    struct sbx_buf output[JOB_N_STREAMS];
    struct tool_output shown[JOB_N_STREAMS];
    struct sbx_buf result_json, result_text; /* empty: none */
    uint64_t result_bytes;                   /* of one that is too large to show; 0: it is not */
    struct sbx_buf error_json, error_text;   /* the exception of a step */
    struct sbx_buf displays_json, displays_text;
    struct tool_picture pictures[TOOL_PICTURES_MAX];
    unsigned n_pictures;
    struct sbx_buf stopped; /* which limit or rule, in a sentence */
    struct sbx_buf hint;    /* what it says to do */
    struct sbx_buf next;
    bool is_error;
};

/* -ENOMEM leaves what tool_view_deinit frees. `ask` stays as long as the view. */
_must_check_ int tool_view_init(struct tool_view *ret, const struct tool_view_ask *ask);
void tool_view_deinit(struct tool_view *view);
/* Images are part of the first look: who reads on in the output has them. */
bool tool_view_has_images(const struct tool_view *view);
/* The same name as artifacts of jobs have, with the handle of the run. */
void tool_view_uri(struct sbx_buf *out, const struct tool_run *run, const char *path);
/* "image/png" and what else a model can look at; NULL: it is none of them. Static. */
const char *tool_picture_mime(const char *mime);
/* The images among displays, in order. Begins with { .rest = displays_json }. */
struct tool_pictures {
    const char *rest, *items; /* NULL: nothing more */
    unsigned n;
};
_must_check_ bool tool_pictures_next(struct tool_pictures *pictures, struct tool_picture *ret);

/* tool_view_text.c: all of it as text. */
void tool_view_text(struct sbx_buf *out, const struct tool_view *view);
/* tool_displays.c: fills what a view says of the displays of a step. */
void tool_view_displays(struct tool_view *view);
