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

static bool idle[MANY];
static int idle_result;

static int
idle_note(const struct cgroup *group, bool is_idle)
{
    n_writes++;
    if (idle_result == 0) {
        idle[group - groups] = is_idle;
    }
    return idle_result;
}

static const struct cgroup_ops ops = {
    .idle = idle_note, .weigh = weight_note, .weight_normal = 1024, .weight_least = 2
};

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

/* 100 ms a call, as if each used as much as it is told. */
static void
go_by(unsigned ticks, uint64_t n_cpus, const uint64_t *ms_a_tick, unsigned n)
{
    static uint64_t used[MANY];

    n_writes = 0;
    for (unsigned i = 0; i < n; i++) {
        used[i] = shares[i].cpu_ms;
    }
    for (unsigned t = 0; t < ticks; t++) {
        for (unsigned i = 0; i < n; i++) {
            share_used(&shares[i], used[i] += ms_a_tick[i]);
        }
        shares_tick(&ops, 100, (unsigned)n_cpus);
    }
}

static void
greedy(void)
{
    is_int(join(0, 7), 0, "a share with two");
    is_int(join(1, 7), 0, "members");
    is_int(join(2, 8), 0, "and one with one");
    go_by(20, 2, (const uint64_t[]){ 30, 30, 60 }, 3);
    ok(!shares_hog() && n_writes == 0, "nobody has more than a third of two processors");
    go_by(20, 2, (const uint64_t[]){ 80, 80, 40 }, 3);
    ok(shares_hog(), "160 ms in 100: one has");
    ok(share_is_hog(&shares[0]) && share_is_hog(&shares[1]) && !share_is_hog(&shares[2]),
       "it is all of that share");
    is_int((long)n_writes, 2, "each of its members is weighed, once");
    is_int((long)weights[0], 16, "at next to nothing");
    is_int((long)weights[1], 16, "together");
    is_int(join(3, 7), 0, "another member");
    ok(share_is_hog(&shares[3]), "is greedy from the first");
    is_int((long)weights[3], 10, "and divides with the others");
    leave(3);
    go_by(20, 2, (const uint64_t[]){ 28, 28, 40 }, 3);
    ok(shares_hog(), "a little below its part is greedy still");
    go_by(20, 2, (const uint64_t[]){ 15, 15, 40 }, 3);
    ok(!shares_hog(), "far below is not");
    is_int((long)weights[0], 512, "and weighs as before");
    leave(0);
    leave(1);
    leave(2);
}

/* A host that is busy with other things. */
static void
relative(void)
{
    is_int(join(0, 7), 0, "one that takes what it can get");
    is_int(join(1, 8), 0, "and one that needs little");
    go_by(20, 2, (const uint64_t[]){ 50, 20 }, 2);
    is_int((long)weights[0], 32, "more than two thirds of what is used weigh next to nothing");
    is_int((long)n_writes, 1, "the other is as it was");
    ok(!shares_hog() && !share_is_hog(&shares[0]), "and the host has what it needs");
    leave(1);
    go_by(1, 2, (const uint64_t[]){ 50 }, 1);
    is_int((long)weights[0], 32, "the other's next job is not late for that");
    go_by(20, 2, (const uint64_t[]){ 50 }, 1);
    is_int((long)weights[0], 1024, "alone it takes nothing from anybody");
    is_int(join(1, 8), 0, "two");
    is_int(join(2, 9), 0, "three");
    shares_tick(&ops, 60000, 2);
    go_by(20, 2, (const uint64_t[]){ 5, 1, 0 }, 3);
    is_int((long)n_writes, 0, "little is never too much");
    for (unsigned i = 0; i < 3; i++) {
        leave(i);
    }
    shares_tick(&ops, 60000, 2);
}

static void
remembered(void)
{
    is_int(join(0, 7), 0, "one");
    go_by(20, 2, (const uint64_t[]){ 110 }, 1);
    ok(shares_hog(), "alone, more than half of the host is too much: another may come");
    leave(0);
    ok(!shares_hog() && !share_is_hog(&shares[0]), "nobody is greedy who is not there");
    is_int(join(0, 7), 0, "it comes again at once");
    is_int((long)weights[0], 32, "and is what it was");
    leave(0);
    shares_tick(&ops, 60000, 2);
    is_int(join(0, 7), 0, "it comes again after a minute");
    is_int((long)n_writes, 0, "and all is forgotten");
    go_by(20, 8, (const uint64_t[]){ 350 }, 1);
    ok(!shares_hog(), "on eight processors half is more");
    leave(0);
    shares_tick(&ops, 60000, 2);
}

static void
pressed(void)
{
    is_int(join(0, 7), 0, "one that takes too much");
    is_int(join(1, 8), 0, "beside a modest one");
    go_by(3, 2, (const uint64_t[]){ 1, 1 }, 2);
    ok(!idle[0] && !share_is_hog(&shares[0]), "is as any other until then");
    go_by(20, 2, (const uint64_t[]){ 150, 10 }, 2);
    ok(idle[0] && share_is_hog(&shares[0]), "and then behind it");
    ok(!idle[1] && !share_is_hog(&shares[1]), "which is where it was");
    is_int(join(2, 7), 0, "its next job");
    ok(idle[2], "is behind from the first");
    go_by(20, 2, (const uint64_t[]){ 75, 0, 75 }, 3);
    ok(!idle[0] && !idle[2], "while the modest one sleeps it is as before");
    ok(weights[0] == 16 && weights[2] == 16, "by weight");
    is_int(join(3, 9), 0, "until another comes");
    ok(idle[0] && idle[2], "at once");
    go_by(2, 2, (const uint64_t[]){ 75, 0, 75, 1 }, 4);
    ok(idle[0] && idle[2], "whose first use of time is not told yet");
    leave(3);
    go_by(20, 2, (const uint64_t[]){ 75, 0, 75 }, 3);
    ok(!idle[0] && !idle[2], "gone, it presses nobody");
    go_by(20, 2, (const uint64_t[]){ 75, 10, 75 }, 3);
    ok(idle[0] && idle[2], "the sleeper wakes");
    go_by(60, 2, (const uint64_t[]){ 1, 1, 1 }, 3);
    ok(!idle[0] && !idle[2], "calm, it comes back");
    is_int((long)weights[0], 512, "with its part");
    leave(2);
    is_int((long)weights[0], 1024, "and with all of it");
    idle_result = -EIO;
    go_by(20, 2, (const uint64_t[]){ 150, 10 }, 2);
    ok(!idle[0] && !shares[0].is_idle && share_is_hog(&shares[0]), "greedy though the kernel refuses");
    idle_result = -ENOENT;
    go_by(60, 2, (const uint64_t[]){ 1, 1 }, 2);
    go_by(20, 2, (const uint64_t[]){ 150, 10 }, 2);
    is_int((long)weights[0], 32, "a kernel without idle groups has weights");
    n_writes = 0;
    go_by(20, 2, (const uint64_t[]){ 150, 0 }, 2);
    go_by(20, 2, (const uint64_t[]){ 150, 10 }, 2);
    is_int((long)n_writes, 0, "and is asked for them once");
    leave(0);
    leave(1);
    ok(!share_is_hog(&shares[0]), "who is not in is not greedy");
    shares_tick(&ops, 60000, 2);
}

static void
told_wrong(void)
{
    is_int(join(0, 0), 0, "one without a share");
    share_used(&shares[0], 1000000);
    shares_tick(&ops, 20, 1);
    ok(!shares_hog() && !share_is_hog(&shares[0]), "is never greedy");
    is_int(join(1, 7), 0, "one with");
    share_used(&shares[1], 50);
    for (unsigned i = 0; i < 100; i++) {
        share_used(&shares[1], 50);
        share_used(&shares[1], 10);
    }
    shares_tick(&ops, 20, 1);
    ok(!shares_hog(), "the same time counts once, and never backwards");
    refusing = &groups[1];
    share_used(&shares[1], 100000);
    shares_tick(&ops, 20, 1);
    ok(shares_hog(), "greedy though its weight is not taken");
    refusing = NULL;
    leave(1);
    shares_tick(&ops, 0, 1);
    ok(!shares_hog(), "no time at all may pass");
    shares_tick(&ops, 60000, 1);
}

int
main(void)
{
    pressed();
    /* From here on as on a kernel without idle groups, which pressed() ends with: it is asked once. */
    greedy();
    relative();
    remembered();
    told_wrong();
    alone();
    together();
    refused();
    crowd();
    return done_testing();
}
