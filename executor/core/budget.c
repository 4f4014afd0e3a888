#include "executor/core/budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/rows.h"
#include "executor/core/usage.h"
#include "executor/store/stmts.h"

#define BUDGET_BUCKETS 512u
#define BUDGET_PAGE 500

struct budget_account {
    struct list link;
    enum sbx_scope scope;
    char tenant[SBX_NAME_MAX + 1];
    char name[SBX_NAME_MAX + 1]; /* of the app or agent; "": of all that has none */
    uint64_t recorded_ms, live_ms;
    unsigned users;
};

struct budgets {
    struct list buckets[BUDGET_BUCKETS];
    uint64_t (*now_ms)(void);
    uint64_t day;
    struct db *db; /* while it is loaded */
    void (*loaded)(void *arg, int rc);
    void *loaded_arg;
};

int
budgets_new(struct budgets **ret, uint64_t (*now_ms)(void))
{
    struct budgets *budgets = calloc(1, sizeof(*budgets));

    if (budgets == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < BUDGET_BUCKETS; i++) {
        list_init(&budgets->buckets[i]);
    }
    budgets->now_ms = now_ms;
    budgets->day = usage_day(now_ms());
    *ret = budgets;
    return 0;
}

struct budgets *
budgets_free(struct budgets *budgets)
{
    for (unsigned i = 0; budgets != NULL && i < BUDGET_BUCKETS; i++) {
        while (!list_empty(&budgets->buckets[i])) {
            struct budget_account *account =
                list_entry(list_pop(&budgets->buckets[i]), struct budget_account, link);

            assert(account->users == 0);
            free(account);
        }
    }
    free(budgets);
    return NULL;
}

/* A new day begins with nothing on record; what runs goes on to be live. */
static void
budgets_turn(struct budgets *budgets)
{
    uint64_t day = usage_day(budgets->now_ms());

    if (day == budgets->day) {
        return;
    }
    budgets->day = day;
    for (unsigned i = 0; i < BUDGET_BUCKETS; i++) {
        struct list *it, *after;

        list_each (it, after, &budgets->buckets[i]) {
            struct budget_account *account = list_entry(it, struct budget_account, link);

            account->recorded_ms = 0;
            if (account->users == 0) {
                list_remove(&account->link);
                free(account);
            }
        }
    }
}

static uint32_t
hash_text(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    }
    return (hash ^ 0xff) * 16777619u;
}

static const char *
scope_name(const struct budget_name *name, enum sbx_scope scope)
{
    const char *text = scope == SBX_SCOPE_TENANT ? "" : scope == SBX_SCOPE_APP ? name->app : name->agent;

    return text == NULL ? "" : text;
}

static struct list *
account_bucket(struct budgets *budgets, const char *tenant, enum sbx_scope scope, const char *name)
{
    uint32_t hash = hash_text(hash_text(2166136261u ^ scope, tenant), name);

    return &budgets->buckets[hash % BUDGET_BUCKETS];
}

static struct budget_account *
account_find(struct budgets *budgets, const struct budget_name *name, enum sbx_scope scope)
{
    const char *own = scope_name(name, scope);
    const struct list *head = account_bucket(budgets, name->tenant, scope, own);

    for (struct list *it = head->next; it != head; it = it->next) {
        struct budget_account *account = list_entry(it, struct budget_account, link);

        if (account->scope == scope && strcmp(account->tenant, name->tenant) == 0 &&
            strcmp(account->name, own) == 0) {
            return account;
        }
    }
    return NULL;
}

/* NULL: no memory, or a name that is none. */
static struct budget_account *
account_get(struct budgets *budgets, const struct budget_name *name, enum sbx_scope scope)
{
    struct budget_account *account = account_find(budgets, name, scope);
    const char *own = scope_name(name, scope);

    if (account != NULL || strlen(name->tenant) > SBX_NAME_MAX || strlen(own) > SBX_NAME_MAX) {
        return account;
    }
    account = calloc(1, sizeof(*account));
    if (account != NULL) {
        account->scope = scope;
        memcpy(account->tenant, name->tenant, strlen(name->tenant));
        memcpy(account->name, own, strlen(own));
        list_append(account_bucket(budgets, name->tenant, scope, own), &account->link);
    }
    return account;
}

int
budget_use_begin(struct budget_use *use, struct budgets *budgets, const struct budget_name *name)
{
    assert(use->budgets == NULL);
    budgets_turn(budgets);
    use->budgets = budgets;
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        use->account[scope] = account_get(budgets, name, scope);
        if (use->account[scope] == NULL) {
            budget_use_end(use);
            return -ENOMEM;
        }
        use->account[scope]->users++;
    }
    return 0;
}

void
budget_use_live(struct budget_use *use, uint64_t cpu_ms)
{
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        if (use->account[scope] != NULL) {
            use->account[scope]->live_ms += cpu_ms - use->live_ms; /* the sum of all lives: never below 0 */
        }
    }
    use->live_ms = cpu_ms;
}

void
budget_use_record(struct budget_use *use, uint64_t cpu_ms)
{
    if (use->budgets == NULL) {
        return;
    }
    budgets_turn(use->budgets);
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        if (use->account[scope] != NULL) {
            use->account[scope]->recorded_ms += cpu_ms;
        }
    }
    budget_use_live(use, use->live_ms > cpu_ms ? use->live_ms - cpu_ms : 0);
}

void
budget_use_end(struct budget_use *use)
{
    budget_use_live(use, 0);
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        if (use->account[scope] != NULL) {
            use->account[scope]->users--;
        }
    }
    memset(use, 0, sizeof(*use));
}

uint64_t
budgets_spent(struct budgets *budgets, const struct budget_name *name, enum sbx_scope scope)
{
    const struct budget_account *account;

    budgets_turn(budgets);
    account = account_find(budgets, name, scope);
    return account == NULL ? 0 : account->recorded_ms + account->live_ms;
}

bool
budgets_exhausted(struct budgets *budgets, const struct budget_name *name,
                  const uint64_t limit_ms[SBX_N_SCOPES], struct budget_excess *ret)
{
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        uint64_t spent = limit_ms[scope] == 0 ? 0 : budgets_spent(budgets, name, scope);

        if (limit_ms[scope] > 0 && spent >= limit_ms[scope]) {
            *ret = (struct budget_excess){ .scope = scope, .limit_ms = limit_ms[scope], .spent_ms = spent };
            return true;
        }
    }
    return false;
}

unsigned
budgets_reset_s(const struct budgets *budgets)
{
    uint64_t gone_ms = budgets->now_ms() % USAGE_DAY_MS;

    return (unsigned)((USAGE_DAY_MS - gone_ms + 999) / 1000);
}

static void
load_end(struct budgets *budgets, int rc)
{
    budgets->db = NULL;
    budgets->loaded(budgets->loaded_arg, rc);
}

static int
load_row(struct budgets *budgets, const struct db_value *row)
{
    const struct budget_name name = { .tenant = row[0].data, .app = row[1].data, .agent = row[2].data };

    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        struct budget_account *account = account_get(budgets, &name, scope);

        if (account == NULL) {
            return -ENOMEM;
        }
        account->recorded_ms += row_take_number(&row[3]);
    }
    return 0;
}

static void load_read(struct budgets *budgets, const struct db_value *after);

static void
load_on_read(void *arg, int rc, const struct db_result *result)
{
    struct budgets *budgets = arg;

    if (rc == 0 && result->n_rows > 0 && result->n_columns != 4) {
        rc = -EINVAL;
    }
    for (unsigned i = 0; rc == 0 && i < result->n_rows; i++) {
        rc = load_row(budgets, db_at(result, i, 0));
    }
    if (rc != 0 || result->n_rows < BUDGET_PAGE) {
        load_end(budgets, rc > 0 ? -EIO : rc);
    } else {
        load_read(budgets, db_at(result, result->n_rows - 1, 0));
    }
}

static void
load_read(struct budgets *budgets, const struct db_value *after)
{
    const struct db_value values[] = { DB_VINT(budgets->day), after[0], after[1], after[2],
                                       DB_VINT(BUDGET_PAGE) };

    db_read(budgets->db, DB_USAGE_OF_DAY, values, SBX_COUNT(values), load_on_read, budgets);
}

int
budgets_load(struct budgets *budgets, struct db *db, void (*done)(void *arg, int rc), void *arg)
{
    const struct db_value first[] = { DB_VTEXT(""), DB_VTEXT(""), DB_VTEXT("") };

    budgets->db = db;
    budgets->loaded = done;
    budgets->loaded_arg = arg;
    load_read(budgets, first);
    return 0;
}
