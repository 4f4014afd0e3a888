/*
 * One step: code, event and result files, the payload's process, its deadline,
 * its output when nobody outside captures it, and the report.
 *
 *   start -> running -> (main child ended | deadline | cancel) -> sweeping
 *         -> (standalone: output read to its end) -> reported
 *            running -> (main child said that it ends) -> reported: all are killed, nobody waits for them to be dead
 */
#pragma once

#include <linux/filter.h>
#include <uv.h>

#include "session-agent/init.h"
#include "session-agent/session.h"

#define STEP_RESULT_MAX (1024ul * 1024)
#define STEP_OUTPUT_KEEP (1024ul * 1024) /* of each stream, standalone */

struct slot;
struct step;

/* What an agent is, as far as a step needs it; outlives all steps. */
struct step_host {
    uv_loop_t *loop;
    struct init *init;
    struct identity identity;
    const struct sock_fprog *filter; /* NULL standalone */
    struct slot *slot;
    const char *opt_dir; /* stands for /opt/sandbox in the registry */
    bool captures;       /* standalone: reads the output itself */
    bool feeds_stdin;    /* a request may bring the input */
    bool takes_census;   /* no control group counts a step's processes one by one */
    bool takes_word;     /* of an interpreter that it ends, for an end (last_word.h) */
    int terminals;       /* descriptor of a devpts; -1: no sandbox's */
    int stdio[3];        /* what is not a pipe of the step: made outside */
};

struct step_outcome {
    const char *failure; /* NULL: report holds the reply; else why nothing ran, constant or in step */
    const char *report;
    size_t report_len;
};

enum {
    STEP_E_FIELD = 1, /* *err names a field that cannot be used */
};

struct step_spec {
    const struct step_host *host;
    struct session *session; /* outlives the step */
    struct runtime_entry runtime;
};

/* Takes *request on success. on_done comes once, from the loop; then step_free is due. */
_must_check_ int step_start(struct step **ret, const struct step_spec *spec, struct step_request *request,
                            struct sbx_field_error *err);
void step_on_done(struct step *step, void (*on_done)(void *arg, const struct step_outcome *outcome),
                  void *arg);
/* Kills everything; on_done still comes. */
void step_cancel(struct step *step);
const struct session *step_session(const struct step *step);
/* Accepts NULL, returns NULL; legal only after on_done. */
struct step *step_free(struct step *step);
