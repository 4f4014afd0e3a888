/*
 * Groups that wait for their next sandbox, on version 1, where four directories are made and removed for each: a third
 * of a millisecond, and as much again later in the kernel's workers. One that waits is called k<number>, one that is
 * in use s<slot>: renaming keeps descriptors, so that all stay open.
 *
 * What a group remembers either counts up, and is read before and after, or is set anew. Memory that is still charged
 * to it would count against the next one's limit: it may wait with little of that or not at all.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "executor/launcher/cgroup.h"
#include "lib/sbx_wall.h"

/* The kernel charges 256 KiB ahead for each processor, and gives a part of what a program held back late. */
#define REST_BYTES (1ull << 20)

struct kept {
    unsigned number;
    struct cgroup group;
};

/* The one that has waited longest is taken first: freed memory has gone by then. */
static struct kept kept[CGROUP_KEPT_MAX];
static unsigned n_kept, first, last_number;

static void
kept_name(char *ret, size_t size, unsigned number)
{
    (void)snprintf(ret, size, "k%u", number); /* at most eleven characters */
}

/* In all hierarchies or, as far as can be, in none. */
_must_check_ static int
group_rename(const struct cgroup_tree *tree, const char *from, const char *to)
{
    for (unsigned i = 0; i < tree->ops->n_dirs; i++) {
        if (tree->base[i] >= 0 && renameat(tree->base[i], from, tree->base[i], to) < 0) {
            int r = -errno;

            while (i-- > 0) {
                if (tree->base[i] >= 0 && renameat(tree->base[i], to, tree->base[i], from) < 0) {
                    journal(JOURNAL_WARN, "cgroup.rename", JOURNAL_INT("error", errno));
                }
            }
            return r;
        }
    }
    return 0;
}

static void
kept_remove(struct kept *it, const struct cgroup_tree *tree)
{
    char name[16];

    cgroup_deinit(&it->group);
    kept_name(name, sizeof(name), it->number);
    for (unsigned i = 0; i < tree->ops->n_dirs; i++) {
        if (tree->base[i] >= 0 && unlinkat(tree->base[i], name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            journal(JOURNAL_WARN, "cgroup.leftover", JOURNAL_INT("error", errno));
        }
    }
}

static struct kept
kept_pop(void)
{
    struct kept it = kept[first];

    first = (first + 1) % CGROUP_KEPT_MAX;
    n_kept--;
    return it;
}

_must_check_ bool
cgroup_take(struct cgroup *ret, const struct cgroup_tree *tree, const char *slot)
{
    static long n_cpus; /* the C library reads all of /proc/stat for it */
    uint64_t most;
    char name[16];

    n_cpus = n_cpus > 0 ? n_cpus : sysconf(_SC_NPROCESSORS_ONLN);
    most = REST_BYTES + (256ull << 10) * (uint64_t)n_cpus;
    while (n_kept > 0) {
        struct kept it = kept_pop();
        struct cgroup_rest rest;

        kept_name(name, sizeof(name), it.number);
        if (tree->ops->rest(&it.group, &rest) == 0 && rest.tasks == 0 && rest.bytes <= most &&
            group_rename(tree, name, slot) == 0) {
            *ret = it.group;
            return true;
        }
        kept_remove(&it, tree);
    }
    return false;
}

_must_check_ int
cgroup_keep(struct cgroup *group, const struct cgroup_tree *tree, const char *slot)
{
    struct cgroup_rest rest;
    char name[16];

    if (tree->ops->rest == NULL || n_kept == CGROUP_KEPT_MAX || tree->ops->rest(group, &rest) < 0) {
        return CGROUP_E_UNFIT;
    }
    if (rest.tasks > 0) {
        return CGROUP_E_BUSY;
    }
    for (unsigned i = tree->ops->n_dirs; i < cgroup_all_dirs(tree); i++) {
        if (group->dir[i] >= 0) {
            return CGROUP_E_UNFIT; /* it was frozen: that hierarchy's is made only then */
        }
    }
    kept_name(name, sizeof(name), ++last_number);
    if (group_rename(tree, slot, name) < 0) {
        return CGROUP_E_UNFIT;
    }
    kept[(first + n_kept++) % CGROUP_KEPT_MAX] = (struct kept){ last_number, *group };
    *group = (struct cgroup)CGROUP_NULL;
    return 0;
}

void
cgroup_kept_remove(const struct cgroup_tree *tree)
{
    while (n_kept > 0) {
        struct kept it = kept_pop();

        kept_remove(&it, tree);
    }
}
