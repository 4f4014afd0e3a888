/*
 * The feed that gateways read: which places are of it, what a page has, what is forgotten, and that a transaction whose
 * statement had to change something and did not is none at all. Over a real database.
 */
#include "executor/core/changes.h"

#include "executor/core/policy_record.h"
#include "t/unit/store_fixture.h"
#include "t/unit/tap.h"

#define OWN "0123456789abcdef"

static struct fixture f;

static void
test_places(void)
{
    const struct changes_head head = { .instance = OWN "0000000000000010", .revision = 100, .purged = 16 };
    static const struct {
        const char *instance;
        uint64_t after;
        bool valid;
        const char *what;
    } places[] = {
        { "", 0, true, "who has nothing" },
        { "", 1, false, "who does not say of which" },
        { OWN "0000000000000010", 0, true, "who begins" },
        { OWN "0000000000000010", 1, true, "who began since the last was forgotten, anywhere" },
        { OWN "0000000000000010", 100, true, "with all there is" },
        { OWN "0000000000000010", 101, false, "with more than there is" },
        { OWN "0000000000000010", UINT64_MAX, false, "with far more" },
        { OWN "0000000000000000", 15, false, "who began before and has not heard it" },
        { OWN "0000000000000000", 16, true, "who has" },
        { OWN "0000000000000000", 99, true, "and more" },
        { OWN "0000000000000011", 15, false, "who began when more was forgotten than is: an older database" },
        { "f123456789abcdef0000000000000010", 50, false, "of another database" },
        { "f123456789abcdef0000000000000010", 0, true, "of another, and begins" },
        { OWN, 50, false, "a part of a name" },
    };

    for (size_t i = 0; i < SBX_COUNT(places); i++) {
        struct changes_place place = { .after = places[i].after };

        snprintf(place.instance, sizeof(place.instance), "%s", places[i].instance);
        is_int(changes_place_valid(&place, &head), places[i].valid, "%s", places[i].what);
    }
}

static int
change(const char *object, uint64_t bytes, uint64_t gone_ms, struct outcome *got)
{
    struct db_tx *tx = tx_new(&f);

    changes_add(
        tx,
        &(struct change){
            .kind = "revocation", .tenant = "acme", .object = object, .bytes = bytes, .gone_ms = gone_ms });
    return tx_run(&f, tx, got);
}

static void
page_on_done(void *arg, int rc, const struct db_result *result)
{
    struct outcome *got = arg;
    struct changes_head head = { 0 };

    outcome_on_done(arg, rc, result);
    got->rc = rc != 0 ? rc : changes_head_load(&head, result);
    got->changes = (int64_t)head.newest;
    got->integer[0] = (int64_t)head.purged;
    got->n_rows =
        result->n_rows == 1 && db_at(result, 0, DB_CHANGE_REVISION)->type == DB_NULL ? 0 : result->n_rows;
}

static void
page(uint64_t after, unsigned limit, uint64_t bytes, struct outcome *got)
{
    const struct db_value values[] = { DB_VINT(after), DB_VINT(limit), DB_VINT(bytes) };

    *got = (struct outcome){ 0 };
    db_read(f.db, DB_CHANGES_AFTER, values, SBX_COUNT(values), page_on_done, got);
    fixture_settle(&f);
    is_int(got->rc, 0, "read");
}

static void
test_pages(void)
{
    struct outcome got;
    char id[32];

    page(0, 256, 1000, &got);
    is_uint(got.n_rows, 0, "an empty feed has one row and no change");
    for (unsigned i = 1; i <= 10; i++) {
        snprintf(id, sizeof(id), "rev_%u", i);
        is_int(change(id, 100, 0, &got), 0, "a change");
        is_int(got.integer[0], i, "and its revision");
    }
    page(0, 256, 1 << 20, &got);
    is_uint(got.n_rows, 10, "all");
    page(0, 4, 1 << 20, &got);
    is_uint(got.n_rows, 4, "as many as are asked for");
    is_int(got.changes, 10, "and how far it goes");
    page(0, 256, 250, &got);
    is_uint(got.n_rows, 3, "those that begin within the bytes");
    page(0, 256, 1, &got);
    is_uint(got.n_rows, 1, "one at least, however long");
    page(9, 256, 1, &got);
    is_uint(got.n_rows, 1, "the last");
    page(10, 256, 1000, &got);
    is_uint(got.n_rows, 0, "nothing is newer");
    is_int(change("rev_1", 100, 0, &got), 0, "the first again");
    page(0, 256, 1 << 20, &got);
    is_uint(got.n_rows, 10, "is there once");
}

static int64_t
forget(uint64_t before_ms, struct outcome *got)
{
    const struct db_value values[] = { DB_VINT(before_ms) };
    struct db_tx *tx = tx_new(&f);

    db_tx_add(tx, DB_CHANGES_FORGET, values, 1);
    db_tx_add(tx, DB_CHANGES_PURGE, values, 1);
    is_int(tx_run(&f, tx, got), 0, "forgetting");
    page(0, 256, 1 << 20, got);
    return got->integer[0];
}

static void
test_forget(void)
{
    struct outcome got;

    is_int(change("rev_2", 100, 5000, &got), 0, "deleted: revision 12");
    is_int(change("rev_3", 100, 6000, &got), 0, "deleted: revision 13");
    is_int(change("rev_4", 100, 0, &got), 0, "changed: revision 14");
    is_int(forget(5000, &got), 0, "nothing is old enough");
    is_uint(got.n_rows, 10, "and all is told");
    is_int(forget(5001, &got), 12, "one is: it is remembered up to where");
    is_uint(got.n_rows, 9, "and it is told no more");
    is_int(forget(5001, &got), 12, "again changes nothing");
    is_int(change("rev_5", 100, 1, &got), 0, "a clock that went back: revision 15");
    is_int(forget(2, &got), 15, "the newest counts");
    is_int(forget(7000, &got), 15, "and an older one after it does not");
    is_uint(got.n_rows, 7, "though it is gone too");
}

static void
test_expect(void)
{
    const struct db_value present[] = { DB_VTEXT("acme"), DB_VTEXT("pol_1"), DB_VINT(1), DB_VINT(2),
                                        DB_VTEXT("x") };
    const struct db_value fresh[] = { DB_VTEXT("pol_1"), DB_VTEXT("acme"), DB_VTEXT("x"), DB_VINT(1),
                                      DB_VINT(1) };
    struct outcome before, after, got;
    struct db_tx *tx;

    page(0, 256, 1 << 20, &before);
    tx = tx_new(&f);
    changes_add(tx, &(struct change){ .kind = "policy", .tenant = "acme", .object = "pol_1" });
    tx_add_audit(tx, "acme", "policy.updated", "pol_1", "{}");
    db_tx_add(tx, DB_POLICY_UPDATE, present, SBX_COUNT(present));
    db_tx_expect(tx, DB_E_OWN + 3);
    is_int(tx_run(&f, tx, &got), DB_E_OWN + 3, "a statement that had to change something");
    page(0, 256, 1 << 20, &after);
    is_int(after.changes, before.changes, "undoes what came before it");

    tx = tx_new(&f);
    db_tx_add(tx, DB_POLICY_INSERT, fresh, SBX_COUNT(fresh));
    db_tx_expect(tx, DB_E_OWN);
    db_tx_add(tx, DB_POLICY_UPDATE, present, SBX_COUNT(present));
    db_tx_expect(tx, DB_E_OWN + 1);
    is_int(tx_run(&f, tx, &got), 0, "one that does change something");
    tx = tx_new(&f);
    db_tx_add(tx, DB_POLICY_UPDATE, present, SBX_COUNT(present));
    is_int(tx_run(&f, tx, &got), 0, "unsaid it need not");
    is_int(got.changes, 0, "and does not");
    tx = tx_new(&f);
    db_tx_expect(tx, DB_E_OWN);
    is_int(tx_run(&f, tx, &got), -EINVAL, "there must be a statement");
    tx = tx_new(&f);
    db_tx_add(tx, DB_POLICY_UPDATE, present, SBX_COUNT(present));
    db_tx_expect(tx, DB_E_CONFLICT);
    is_int(tx_run(&f, tx, &got), -EINVAL, "and a code of one's own");
}

static void
test_targets(void)
{
    static const char *const good[] = { "tenant", "app:web", "agent:a.b-c_D", "template:c++", "app:tenant" };
    static const char *const bad[] = { "",        "tenant:",    "tenant:x", "app",          "app:",
                                       "app:a b", "app:a:b",    "user:x",   "Tenant",       "template:a/b",
                                       ":x",      "agent:\xff", "apps:x",   "template:a b", "tenan" };
    struct policy_target target[POLICY_TARGETS_MAX];
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(POLICY_TARGETS_TEXT_MAX);
    struct policy_record record = { 0 };
    char many[1024] = "";

    for (size_t i = 0; i < SBX_COUNT(good); i++) {
        ok(policy_target_parse(&record.target[i], good[i], strlen(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!policy_target_parse(&target[0], bad[i], strlen(bad[i])), "none: \"%s\"", bad[i]);
    }
    record.n_targets = SBX_COUNT(good);
    policy_targets_text(&text, &record);
    is_str(text.data, "tenant app:web agent:a.b-c_D template:c++ app:tenant", "as one text");
    is_int(policy_targets_load(target, &record.n_targets, text.data), 0, "and back");
    is_uint(record.n_targets, SBX_COUNT(good), "all of them");
    ok(policy_target_equal(&target[3], &record.target[3]), "each as it was");
    is_int(policy_targets_load(target, &record.n_targets, ""), 0, "none at all");
    is_uint(record.n_targets, 0, "is a draft");
    ok(policy_targets_load(target, &record.n_targets, "app:web x") != 0, "what is none spoils all");
    for (unsigned i = 0; i <= POLICY_TARGETS_MAX; i++) {
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "%sapp:a%u", i == 0 ? "" : " ", i);
    }
    ok(policy_targets_load(target, &record.n_targets, many) != 0, "and more than there may be");
}

int
main(void)
{
    test_places();
    test_targets();
    fixture_init(&f);
    fixture_must_open(&f);
    test_pages();
    test_forget();
    test_expect();
    fixture_deinit(&f);
    return done_testing();
}
