/* Keys of requests under way: who gets what, and when an entry is gone. */
#include "executor/core/idempotency.h"

#include "t/unit/tap.h"

static const struct idempotency_key key = { "t", "s", "r", "k", "aa" };

static int
begin(struct idempotency *all, struct idempotency_key which, struct idempotency_entry **entry)
{
    return idempotency_begin(all, &which, entry);
}

static struct idempotency_key
other(const char *tenant, const char *subject, const char *route, const char *text)
{
    return (struct idempotency_key){ tenant, subject, route, text, "aa" };
}

static void
test_forms(void)
{
    char text[258];

    ok(idempotency_key_valid("a") && idempotency_key_valid("!~") && idempotency_key_valid("0-9_.:/"),
       "visible ASCII");
    ok(!idempotency_key_valid(""), "not empty");
    ok(!idempotency_key_valid("a b") && !idempotency_key_valid("\t") && !idempotency_key_valid("a\n"),
       "no white space");
    ok(!idempotency_key_valid("\x7f") && !idempotency_key_valid("\xc3\xa9"), "nothing else");
    memset(text, 'k', sizeof(text));
    text[255] = '\0';
    ok(idempotency_key_valid(text), "255 characters");
    text[255] = 'k';
    text[256] = '\0';
    ok(!idempotency_key_valid(text), "not 256");
}

static void
test_life(void)
{
    struct idempotency *all = NULL;
    struct idempotency_entry *first = NULL, *again = NULL;
    const struct sbx_id id = { "job_00000000000000000000000001" };
    struct idempotency_key changed = key;

    ok(idempotency_new(&all) == 0, "new");
    is_int(begin(all, key, &first), 0, "the first begins");
    is_int(begin(all, key, &again), IDEMPOTENCY_E_IN_FLIGHT, "the second is told to wait");
    changed.body_sha256 = "bb";
    is_int(begin(all, changed, &again), IDEMPOTENCY_E_MISMATCH, "another body is another thing");
    idempotency_set_object(first, &id);
    is_int(begin(all, key, &again), IDEMPOTENCY_E_IN_FLIGHT, "with a job too");
    idempotency_answered(first);
    is_int(begin(all, key, &again), IDEMPOTENCY_E_KNOWN, "answered: the job is known");
    ok(again == first, "by the same entry");
    is_str(again->object_id.text, id.text, "which names it");
    is_int(begin(all, changed, &again), IDEMPOTENCY_E_MISMATCH, "another body still is not");
    idempotency_object_gone(first);
    is_int(begin(all, key, &first), 0, "the job is gone: the database's turn");
    idempotency_answered(first);
    is_int(begin(all, key, &first), 0, "answered without a job: free again");
    idempotency_set_object(first, &id);
    idempotency_object_gone(first);
    is_int(begin(all, key, &again), IDEMPOTENCY_E_IN_FLIGHT, "a job that is over before its answer was sent");
    idempotency_answered(first);
    is_int(begin(all, key, &again), 0, "and then free");
    idempotency_answered(NULL);
    idempotency_object_gone(NULL);
    pass("NULL is nothing");
    ok(idempotency_free(all) == NULL, "entries die with it");
}

static void
test_scope(void)
{
    struct idempotency *all = NULL;
    struct idempotency_entry *entry = NULL;
    char large[300];

    ok(idempotency_new(&all) == 0, "new");
    is_int(begin(all, other("t", "s", "r", "k"), &entry), 0, "one");
    is_int(begin(all, other("u", "s", "r", "k"), &entry), 0, "another tenant's");
    is_int(begin(all, other("t", "z", "r", "k"), &entry), 0, "another subject's");
    is_int(begin(all, other("t", "s", "q", "k"), &entry), 0, "another route's");
    is_int(begin(all, other("t", "s", "r", "K"), &entry), 0, "another key");
    is_int(begin(all, other("ts", "", "r", "k"), &entry), 0, "parts do not run together");
    is_int(begin(all, other("t", "sr", "", "k"), &entry), 0, "nor these");
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    is_int(begin(all, other("t", "s", "r", large), &entry), -EINVAL, "a key that does not fit is refused");
    is_int(begin(all, other(large, "s", "r", "k"), &entry), -EINVAL, "a tenant too");
    idempotency_free(all);
}

int
main(void)
{
    test_forms();
    test_life();
    test_scope();
    return done_testing();
}
