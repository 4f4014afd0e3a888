/* Weights of sandboxes that share a part of the processors, against a backend that only notes them. */
#include "executor/launcher/share.h"
#include "t/unit/tap.h"

#define MANY 2000

static struct cgroup groups[MANY];
static struct share shares[MANY];
static unsigned weights[MANY];
static unsigned n_writes;
static const struct cgroup *refusing;

static int
weight_note(const struct cgroup *group, unsigned weight)
{
    n_writes++;
    if (group == refusing) {
        return -ENOENT;
    }
    weights[group - groups] = weight;
    return 0;
}

static const struct cgroup_ops ops = { .weigh = weight_note, .weight_normal = 1024, .weight_least = 2 };

static int
join(unsigned i, uint64_t key)
{
    n_writes = 0;
    return share_join(&shares[i], &ops, &groups[i], key);
}

static void
leave(unsigned i)
{
    n_writes = 0;
    share_leave(&shares[i], &ops);
}

static void
alone(void)
{
    is_int(join(0, 7), 0, "one joins");
    is_int((long)n_writes, 0, "and nothing is written");
    is_int(join(1, 8), 0, "one with another key");
    is_int((long)n_writes, 0, "is alone, too");
    is_int(join(2, 0), 0, "one without");
    is_int(join(3, 0), 0, "and another");
    is_int((long)n_writes, 0, "share nothing");
    for (unsigned i = 0; i < 4; i++) {
        leave(i);
        is_int((long)n_writes, 0, "leaving writes nothing");
        leave(i);
    }
}

static void
together(void)
{
    for (unsigned i = 0; i < 3; i++) {
        is_int(join(i, 7), 0, "joins");
        is_int((long)n_writes, i == 0 ? 0 : i + 1, "each is written when the number changes");
    }
    is_int(join(9, 8), 0, "another tenant's");
    for (unsigned i = 0; i < 3; i++) {
        is_int((long)weights[i], 341, "a third each");
    }
    leave(1);
    is_int((long)weights[0], 512, "half when one is gone");
    is_int((long)weights[2], 512, "for both");
    is_int((long)weights[1], 341, "the dead one is not touched");
    leave(0);
    is_int((long)weights[2], 1024, "all of it for the last");
    leave(2);
    is_int((long)n_writes, 0, "and nothing after it");
    leave(9);
}

static void
refused(void)
{
    is_int(join(0, 7), 0, "one is in");
    refusing = &groups[1];
    is_int(join(1, 7), -ENOENT, "a weight that is not taken keeps the newcomer out");
    is_int((long)n_writes, 1, "and the others as they are");
    leave(1);
    refusing = NULL;
    is_int(join(1, 7), 0, "in");
    refusing = &groups[0];
    is_int(join(2, 7), 0, "another's refusal is not the newcomer's");
    is_int((long)weights[0], 512, "it keeps what it had");
    refusing = NULL;
    leave(2);
    is_int((long)n_writes, 1, "what is as it should be is not written again");
    leave(0);
    leave(1);
}

static void
crowd(void)
{
    bool is_least = true;

    for (unsigned i = 0; i < MANY; i++) {
        if (join(i, 7) != 0) {
            ok(0, "joins");
        }
    }
    for (unsigned i = 0; i < MANY; i++) {
        is_least = is_least && weights[i] == 2;
    }
    ok(is_least, "never less than the kernel takes");
    for (unsigned i = 0; i < MANY - 1; i++) {
        leave(i);
    }
    is_int((long)weights[MANY - 1], 1024, "the last has it all");
    leave(MANY - 1);
}

int
main(void)
{
    alone();
    together();
    refused();
    crowd();
    return done_testing();
}
