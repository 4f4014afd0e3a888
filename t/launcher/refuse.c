/*
 * Runs a program under a filter that refuses system calls: a host that lacks them.
 *
 *   refuse CALL[:BITS][,CALL...] ERRNO PROGRAM [ARGUMENT...]
 *
 * With BITS the call is refused only when its first argument has them all.
 */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
refuse(scmp_filter_ctx filter, int number, const char *bits, const char *error)
{
    unsigned long mask = bits != NULL ? strtoul(bits, NULL, 0) : 0;
    struct scmp_arg_cmp has_bits = SCMP_A0_64(SCMP_CMP_MASKED_EQ, mask, mask);

    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((unsigned)strtoul(error, NULL, 10)), number,
                                  bits != NULL ? 1 : 0, &has_bits);
}

int
main(int argc, char **argv)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    const char *error = argc < 4 ? "" : argv[2];

    if (argc < 4 || filter == NULL) {
        (void)fprintf(stderr, "usage: refuse CALL[,CALL...] ERRNO PROGRAM [ARGUMENT...]\n");
        return 125;
    }
    for (char *name = argv[1], *next; name != NULL; name = next) {
        char *bits;
        int number;

        next = strchr(name, ',');
        if (next != NULL) {
            *next++ = '\0';
        }
        bits = strchr(name, ':');
        if (bits != NULL) {
            *bits++ = '\0';
        }
        number = seccomp_syscall_resolve_name(name);
        if (number == __NR_SCMP_ERROR || refuse(filter, number, bits, error) != 0) {
            (void)fprintf(stderr, "refuse: %s: no such call\n", name);
            return 125;
        }
    }
    /* Root needs no no_new_privs for it, and a program that is to set that must find it unset. */
    if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) != 0 || seccomp_load(filter) != 0) {
        (void)fprintf(stderr, "refuse: the filter is not taken\n");
        return 125;
    }
    seccomp_release(filter);
    execv(argv[3], &argv[3]);
    perror(argv[3]);
    return 126;
}
