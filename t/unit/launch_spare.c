/* When sandboxes for nobody go behind others, and when no more, against a backend that only notes it. */
#include <assert.h>

#include "executor/launcher/spare.h"
#include "t/unit/tap.h"

#define MANY 100
#define BOUND_MS 50

static struct cgroup groups[MANY];
static struct spare spares[MANY];
static bool is_light[MANY];
static unsigned n_writes;
static int result;

static int
idle_note(const struct cgroup *group, bool is_idle)
{
    n_writes++;
    if (result == 0) {
        is_light[group - groups] = is_idle;
    }
    return result;
}

static const struct cgroup_ops ops = { .idle = idle_note, .weight_normal = 1024, .weight_least = 2 };

static bool
begin(unsigned i, uint64_t now)
{
    n_writes = 0;
    return spare_begin(&spares[i], &ops, &groups[i], now);
}

static int
end(unsigned i)
{
    n_writes = 0;
    return spare_end(&spares[i], &ops);
}

static void
tick(uint64_t now)
{
    n_writes = 0;
    spares_tick(&ops, now);
}

static void
one(void)
{
    is_int(spares_timeout(7), -1, "none is light: nothing to wait for");
    is_int(end(0), 0, "the end of one that never began");
    is_uint(n_writes, 0, "writes nothing");
    ok(begin(0, 1000) && is_light[0] && n_writes == 1, "it begins with one write");
    ok(!begin(0, 1020) && n_writes == 0, "and once");
    is_int(spares_timeout(1000), BOUND_MS, "it ends by itself");
    is_int(spares_timeout(1049), 1, "at its time, not when it was begun again");
    is_int(spares_timeout(1050), 0, "which comes");
    is_int(spares_timeout(99999), 0, "and passes");
    tick(1049);
    ok(is_light[0] && n_writes == 0, "not before");
    tick(1050);
    ok(!is_light[0] && n_writes == 1, "then it weighs what others do");
    is_int(spares_timeout(1050), -1, "nothing is left to wait for");
    tick(9999);
    is_uint(n_writes, 0, "nothing more is written");
    is_int(end(0), 0, "its end comes after that");
    is_uint(n_writes, 0, "and writes nothing");
    ok(begin(0, 2000), "again");
    is_int(end(0), 0, "wanted before its time");
    ok(!is_light[0] && n_writes == 1, "it weighs what others do at once");
    tick(2050);
    is_uint(n_writes, 0, "and its time means nothing");
}

static void
many(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        assert(begin(i, 1000 + i));
    }
    is_int(spares_timeout(1000), BOUND_MS, "the oldest ends first");
    is_int(end(0), 0, "without it");
    is_int(spares_timeout(1000), BOUND_MS + 1, "the next");
    is_int(end(50), 0, "one in the middle goes");
    tick(1000 + BOUND_MS + 60);
    is_uint(n_writes, 59, "all whose time has come, but those that had ended");
    ok(!is_light[60] && is_light[61], "and no other");
    for (unsigned i = 61; i < MANY; i++) {
        is_int(end(i), 0, "each may go");
    }
    is_int(spares_timeout(0), -1, "none is left");
}

static void
faults(void)
{
    result = -EIO;
    ok(!begin(1, 1000) && !is_light[1] && spares_timeout(1000) == -1, "what cannot be written is not light");
    result = 0;
    assert(begin(1, 1000));
    result = -EIO;
    is_int(end(1), -EIO, "an end that cannot be written is told of");
    is_int(end(1), -EIO, "as often as it is wanted");
    ok(is_light[1] && spares_timeout(1000) == -1, "and it is nobody's to wait for");
    result = 0;
    is_int(end(1), 0, "when it can be written");
    ok(!is_light[1] && n_writes == 1, "it is");
    is_int(end(1), 0, "after which");
    is_uint(n_writes, 0, "nothing is");
    assert(begin(2, 1000));
    result = -EIO;
    tick(1050);
    is_uint(n_writes, 1, "also at its time");
    tick(1051);
    is_uint(n_writes, 0, "it is not tried for ever");
    is_int(spares_timeout(1051), -1, "nor waited for");
    is_int(end(2), -EIO, "but whoever wants it learns of it");
    result = 0;
    is_int(end(2), 0, "until it has been written");
    result = -ENOENT;
    ok(!begin(3, 1000) && n_writes == 1, "a kernel without such groups");
    result = 0;
    ok(!begin(3, 1000) && n_writes == 0 && !is_light[3], "is asked once");
}

int
main(void)
{
    one();
    many();
    faults();
    return done_testing();
}
