/*
 * From rules to instructions. The kernel runs a filter once for every call number when it is loaded, and translates
 * it; each sandbox pays for that. So calls are found by halving ranges of numbers with one answer, not one by one.
 */
#pragma once

#include <linux/filter.h>

#include "lib/sbx_base.h"

#define PROGRAM_MAX_MATCHES 3

/* The low word of argument `arg`, of the bits in `mask`: the kernel truncates int parameters, so a comparison of all
 * 64 bits can be passed by with garbage above (CVE-2019-10063). */
struct program_match {
    unsigned arg;
    uint32_t mask, value;
};

/* All matches hold; several rules of one call are alternatives. */
struct program_rule {
    unsigned n; /* 0: whatever the arguments are */
    struct program_match match[PROGRAM_MAX_MATCHES];
    uint32_t action; /* SECCOMP_RET_* */
    bool is_rest;    /* without matches: of the call when none of its other rules fits */
};

struct program;

/* `otherwise`: of calls without a rule that fits; `foreign`: of other ABIs. NULL: no memory. */
struct program *program_new(uint32_t arch, uint32_t otherwise, uint32_t foreign);
struct program *program_free(struct program *program);
/*
 * False: too many rules, or one that contradicts another of that call. All rules of a call look at the same bits of
 * the same arguments in the same order. A call that has a rule without matches keeps it, whatever such rules follow.
 */
_must_check_ bool program_add(struct program *program, int nr, const struct program_rule *rule);
/* Once, into `ret`, which has room for `max`: rules are used up. 0: it does not fit. */
_must_check_ size_t program_compile(struct program *program, struct sock_filter *ret, size_t max);
